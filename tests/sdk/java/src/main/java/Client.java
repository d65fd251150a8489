import java.util.Map;
import java.util.stream.Collectors;
import software.amazon.awssdk.services.glue.GlueClient;
import software.amazon.awssdk.services.glue.model.AlreadyExistsException;
import software.amazon.awssdk.services.glue.model.CreateMlTransformRequest;
import software.amazon.awssdk.services.glue.model.FindMatchesParameters;
import software.amazon.awssdk.services.glue.model.GetMlTransformResponse;
import software.amazon.awssdk.services.glue.model.GlueTable;
import software.amazon.awssdk.services.glue.model.TransformType;

/**
 * Makes, reads and lists a transform with the AWS SDK for Java v2, which finds the endpoint, the region and the key in
 * the environment. The one argument is the transform's name; what came back is printed as one JSON object.
 */
public class Client {
  public static void main(String[] arguments) {
    String name = arguments[0];
    try (GlueClient client = GlueClient.create()) {
      CreateMlTransformRequest asked = ask(name);
      String id = client.createMLTransform(asked).transformId();
      boolean refused = isRefused(client, asked);
      GetMlTransformResponse got = client.getMLTransform(b -> b.transformId(id));
      String listed = client.listMLTransforms(b -> b.tags(Map.of("sdk", name))).transformIds().stream()
          .map(each -> "\"" + each + "\"").collect(Collectors.joining(","));
      FindMatchesParameters matching = got.parameters().findMatchesParameters();
      System.out.println("{\"id\":\"" + id + "\",\"name\":\"" + got.name() + "\",\"status\":\"" + got.status()
          + "\",\"createdOn\":" + got.createdOn().getEpochSecond() + ",\"maxCapacity\":" + got.maxCapacity()
          + ",\"precisionRecallTradeoff\":" + matching.precisionRecallTradeoff()
          + ",\"accuracyCostTradeoff\":" + matching.accuracyCostTradeoff() + ",\"columns\":" + got.schema().size()
          + ",\"listed\":[" + listed + "],\"secondRefused\":" + refused + "}");
    }
  }

  private static CreateMlTransformRequest ask(String name) {
    return CreateMlTransformRequest.builder().name(name)
        .role("arn:aws:iam::123456789012:role/glue")
        .inputRecordTables(GlueTable.builder().databaseName("crm").tableName("people").build())
        .parameters(p -> p.transformType(TransformType.FIND_MATCHES)
            .findMatchesParameters(f -> f.primaryKeyColumnName("id").precisionRecallTradeoff(1.0)
                .accuracyCostTradeoff(0.25).enforceProvidedLabels(false)))
        .glueVersion("2.0").maxCapacity(10.0).tags(Map.of("sdk", name)).build();
  }

  private static boolean isRefused(GlueClient client, CreateMlTransformRequest asked) {
    try {
      client.createMLTransform(asked);
      return false;
    } catch (AlreadyExistsException error) {
      return true;
    }
  }
}
