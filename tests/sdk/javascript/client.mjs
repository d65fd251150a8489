// Makes, reads and lists a transform with the AWS SDK for JavaScript v3, which finds the endpoint, the region and the key
// in the environment. The one argument is the transform's name; what came back is printed as one JSON object.
import {
  AlreadyExistsException,
  CreateMLTransformCommand,
  GetMLTransformCommand,
  GlueClient,
  ListMLTransformsCommand,
} from "@aws-sdk/client-glue";

const name = process.argv[2];
const client = new GlueClient();
const asked = {
  Name: name,
  Role: "arn:aws:iam::123456789012:role/glue",
  InputRecordTables: [{ DatabaseName: "crm", TableName: "people" }],
  Parameters: {
    TransformType: "FIND_MATCHES",
    FindMatchesParameters: {
      PrimaryKeyColumnName: "id",
      PrecisionRecallTradeoff: 1,
      AccuracyCostTradeoff: 0.25,
      EnforceProvidedLabels: false,
    },
  },
  GlueVersion: "2.0",
  MaxCapacity: 10,
  Tags: { sdk: name },
};
const created = await client.send(new CreateMLTransformCommand(asked));
const again = await client.send(new CreateMLTransformCommand(asked)).catch((error) => error);
const got = await client.send(new GetMLTransformCommand({ TransformId: created.TransformId }));
const listed = await client.send(new ListMLTransformsCommand({ Tags: { sdk: name } }));
const matching = got.Parameters.FindMatchesParameters;
console.log(
  JSON.stringify({
    id: created.TransformId,
    name: got.Name,
    status: got.Status,
    createdOn: Math.floor(got.CreatedOn.getTime() / 1000),
    maxCapacity: got.MaxCapacity,
    precisionRecallTradeoff: matching.PrecisionRecallTradeoff,
    accuracyCostTradeoff: matching.AccuracyCostTradeoff,
    columns: got.Schema.length,
    listed: listed.TransformIds,
    secondRefused: again instanceof AlreadyExistsException,
  }),
);
