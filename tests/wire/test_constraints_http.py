"""Each kind of constraint, and each rule that only the prose of the API guide has, from both sides of its edge."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.wire.wire import CONTENT_TYPE, Answer, Catalog, Wire, open_client

if TYPE_CHECKING:
    from mypy_boto3_glue import GlueClient

MEGABYTE = 1 << 20
UNKNOWN = "tfm-" + "0" * 40
P1 = r"[\u0020-\uD7FF\uE000-\uFFFD\uD800\uDC00-\uDBFF\uDFFF\t]*"
P2 = r"[\u0020-\uD7FF\uE000-\uFFFD\uD800\uDC00-\uDBFF\uDFFF\r\n\t]*"
SHORT, LONG = "Member must have length less than or equal to", "Member must have length greater than or equal to"
HIGH, LOW = "Member must have value less than or equal to", "Member must have value greater than or equal to"
MATCH, CHOOSE = "Member must satisfy regular expression pattern:", "Member must satisfy enum value set:"


@pytest.fixture(scope="module")
def unchecked(endpoint: str) -> GlueClient:
    """A boto3 client that sends what it knows to be wrong."""
    return open_client(endpoint, checked=False)


@dataclass(frozen=True)
class Edge:
    """A member of CreateMLTransform at the last value that is allowed, and at the first that is not.

    `phrase` is how the constraint begins: patterns and choices differ between versions of the model.
    """

    member: str
    allowed: Any
    refused: Any
    path: str
    phrase: str

    def __str__(self) -> str:
        return f"{self.path} {self.phrase[12:60]}"


def number_of(amount: int, **members: Any) -> list[dict[str, Any]]:
    return [{"DatabaseName": "db", "TableName": "people", **members} for _ in range(amount)]


def options(amount: int) -> dict[str, str]:
    return {f"option{i}": "x" for i in range(amount)}


def with_parameters(**members: Any) -> dict[str, Any]:
    return {"TransformType": "FIND_MATCHES", "FindMatchesParameters": {"PrimaryKeyColumnName": "id", **members}}


FIND = "parameters.findMatchesParameters"
EDGES = [
    Edge("Name", "n" * 255, "n" * 256, "name", f"{SHORT} 255"),
    Edge("Name", "n", "", "name", f"{LONG} 1"),
    Edge("Name", "a\tb \U0001f600\ue000", "a\nb", "name", f"{MATCH} {P1}"),
    Edge("Name", "\u0020\ud7ff\ufffd", "\u001f", "name", f"{MATCH} {P1}"),
    Edge("Description", "d" * 2048, "d" * 2049, "description", f"{SHORT} 2048"),
    Edge("Description", "", "\x01", "description", f"{MATCH} {P2}"),
    Edge("Description", "a\r\n\tb", "a\x0bb", "description", f"{MATCH} {P2}"),
    Edge("GlueVersion", "1.0", "1", "glueVersion", f"{MATCH} ^("),
    Edge("GlueVersion", "a.b.c", "1.\u0663", "glueVersion", f"{MATCH} ^("),
    Edge("GlueVersion", "1." + "0" * 253, "1." + "0" * 254, "glueVersion", f"{SHORT} 255"),
    Edge("WorkerType", "G.2X", "G.9X", "workerType", f"{CHOOSE} [Standard, G.1X, G.2X, "),
    Edge("Timeout", 1, 0, "timeout", f"{LOW} 1"),
    Edge("Tags", {f"k{i}": "v" for i in range(50)}, {f"k{i}": "v" for i in range(51)}, "tags", f"{SHORT} 50"),
    Edge("Tags", {"k": "v" * 256}, {"k": "v" * 257}, "tags.k.member", f"{SHORT} 256"),
    Edge("Tags", {"k": ""}, {"k" * 129: ""}, "tags", f"Map keys must satisfy constraint: [{SHORT} 128]"),
    Edge("Tags", {"k" * 128: ""}, {"": "v"}, "tags", f"Map keys must satisfy constraint: [{LONG} 1]"),
    Edge("InputRecordTables", number_of(10), number_of(11), "inputRecordTables", f"{SHORT} 10"),
    Edge(
        "InputRecordTables",
        number_of(1, AdditionalOptions=options(1)),
        number_of(1, AdditionalOptions={}),
        "inputRecordTables.1.member.additionalOptions",
        f"{LONG} 1",
    ),
    Edge(
        "InputRecordTables",
        number_of(2, AdditionalOptions=options(10)),
        [*number_of(1), *number_of(1, AdditionalOptions=options(11))],
        "inputRecordTables.2.member.additionalOptions",
        f"{SHORT} 10",
    ),
    Edge(
        "Parameters",
        {"TransformType": "FIND_MATCHES", "FindMatchesParameters": {"PrimaryKeyColumnName": "id"}},
        {"TransformType": "NOPE", "FindMatchesParameters": {"PrimaryKeyColumnName": "id"}},
        "parameters.transformType",
        f"{CHOOSE} [FIND_MATCHES]",
    ),
    *(
        Edge("Parameters", with_parameters(**{name: ok}), with_parameters(**{name: bad}), f"{FIND}.{path}", phrase)
        for name, path in (
            ("PrecisionRecallTradeoff", "precisionRecallTradeoff"),
            ("AccuracyCostTradeoff", "accuracyCostTradeoff"),
        )
        for ok, bad, phrase in (
            (0.0, -0.0001, f"{LOW} 0"),
            (1.0, 1.0001, f"{HIGH} 1"),
            (0, "NaN", f"{LOW} 0"),
            (1, "Infinity", f"{HIGH} 1"),
        )
    ),
]


def check_refusal(answer: Answer, code: str = "InvalidInputException", status: int = 400) -> str:
    """The text of an error whose every part is as it must be."""
    assert answer.status == status, answer.body
    assert answer.code == code
    assert answer.headers["x-amzn-errortype"] == code
    assert answer.headers["content-type"] == CONTENT_TYPE
    assert len(answer.headers["x-amzn-requestid"]) == 36
    assert answer.message
    return answer.message


def point_at(request: dict[str, Any], catalog: Catalog) -> dict[str, Any]:
    """The request with its tables in the test's own database."""
    tables = [{**table, "DatabaseName": catalog.database} for table in request["InputRecordTables"]]
    return {**request, "InputRecordTables": tables}


def describe(catalog: Catalog, member: str, value: Any) -> dict[str, Any]:
    further = {"NumberOfWorkers": 2} if member == "WorkerType" else {}
    return point_at(catalog.describe(**{member: value, **further}), catalog)


@pytest.mark.parametrize("edge", EDGES, ids=str)
def test_the_last_value_inside_is_taken(catalog: Catalog, wire: Wire, edge: Edge) -> None:
    request = describe(catalog, edge.member, edge.allowed)
    if edge.member == "Name":
        request["Name"] = edge.allowed
    answer = wire.call("CreateMLTransform", request)
    assert answer.code in (None, "AlreadyExistsException"), answer.body  # names of one character are few
    if answer.code is None:
        told = wire.call("GetMLTransform", {"TransformId": answer.members["TransformId"]}).members
        if edge.member != "Tags":
            assert told.get(edge.member) == request[edge.member]


@pytest.mark.parametrize("edge", EDGES, ids=str)
def test_the_first_value_outside_is_refused(catalog: Catalog, wire: Wire, edge: Edge) -> None:
    message = check_refusal(wire.call("CreateMLTransform", describe(catalog, edge.member, edge.refused)))
    assert message.startswith("1 validation error detected: Value '")
    assert f"' at '{edge.path}' failed to satisfy constraint: {edge.phrase}" in message


def test_a_bare_nan_is_refused(catalog: Catalog, wire: Wire) -> None:
    body = json.dumps(catalog.describe(Parameters=with_parameters(AccuracyCostTradeoff=float("nan"))))
    assert "NaN" in body
    answer = wire.send(body.encode(), {"X-Amz-Target": "AWSGlue.CreateMLTransform"})
    assert answer.status == 400
    assert answer.code in ("SerializationException", "InvalidInputException")


@pytest.mark.parametrize("member", ["Name", "InputRecordTables", "Parameters", "Role"])
def test_a_required_member_must_be_there(catalog: Catalog, wire: Wire, member: str) -> None:
    request = catalog.describe()
    del request[member]
    path = member[0].lower() + member[1:]
    wanted = f"1 validation error detected: Value at '{path}' failed to satisfy constraint: Member must not be null"
    assert check_refusal(wire.call("CreateMLTransform", request)) == wanted
    assert check_refusal(wire.call("CreateMLTransform", {**request, member: None})) == wanted


def test_all_that_is_wrong_is_told_at_once(wire: Wire) -> None:
    message = check_refusal(wire.call("CreateMLTransform", {"Name": "", "Role": "r", "Timeout": 0}))
    assert message.startswith("4 validation errors detected: ")
    assert message.count("; ") == 3


@pytest.mark.parametrize(
    ("member", "value"),
    [("Timeout", True), ("Timeout", "1"), ("Timeout", 1.5), ("Name", 1), ("Tags", []), ("InputRecordTables", {}),
     ("MaxRetries", 2**31), ("MaxCapacity", "10")],
)  # fmt: skip
def test_a_wrong_json_type_is_told_as_such(catalog: Catalog, wire: Wire, member: str, value: Any) -> None:
    check_refusal(wire.call("CreateMLTransform", catalog.describe(**{member: value})), "SerializationException")


def test_members_that_no_model_knows_and_nulls_are_passed_over(catalog: Catalog, wire: Wire) -> None:
    answer = wire.call("CreateMLTransform", {**catalog.describe(), "Colour": {"deep": [1]}, "Description": None})
    assert answer.status == 200, answer.body


class TestLists:
    """The sizes of pages and lists in other operations."""

    @pytest.mark.parametrize("size", [1, 1000])
    def test_a_page_of_this_size_is_told(self, wire: Wire, catalog: Catalog, size: int) -> None:
        transform = catalog.make_transform()
        for operation in ("GetMLTransforms", "ListMLTransforms"):
            assert wire.call(operation, {"MaxResults": size}).status == 200
        assert wire.call("GetMLTaskRuns", {"TransformId": transform, "MaxResults": size}).status == 200

    @pytest.mark.parametrize(("size", "phrase"), [(0, f"{LOW} 1"), (1001, f"{HIGH} 1000")])
    def test_a_page_of_that_size_is_refused(self, wire: Wire, size: int, phrase: str) -> None:
        for operation in ("GetMLTransforms", "ListMLTransforms", "GetMLTaskRuns"):
            answer = wire.call(operation, {"MaxResults": size, "TransformId": UNKNOWN})
            assert check_refusal(answer).endswith(
                f"Value '{size}' at 'maxResults' failed to satisfy constraint: {phrase}"
            )

    def test_a_filter_has_at_most_100_columns(self, wire: Wire) -> None:
        column = {"Name": "id", "DataType": "string"}
        assert wire.call("GetMLTransforms", {"Filter": {"Schema": [column] * 100}}).status == 200
        message = check_refusal(wire.call("GetMLTransforms", {"Filter": {"Schema": [column] * 101}}))
        assert message.endswith(f"at 'filter.schema' failed to satisfy constraint: {SHORT} 100")

    def test_a_column_has_a_name_of_at_most_1024_and_a_type_of_at_most_131072_characters(self, wire: Wire) -> None:
        column = {"Name": "n" * 1024, "DataType": "t" * 131072}
        assert wire.call("GetMLTransforms", {"Filter": {"Schema": [column]}}).status == 200
        for member, longer, most in (("Name", "n" * 1025, 1024), ("DataType", "t" * 131073, 131072)):
            answer = wire.call("GetMLTransforms", {"Filter": {"Schema": [{**column, member: longer}]}})
            path = f"filter.schema.1.member.{member[0].lower()}{member[1:]}"
            assert check_refusal(answer).endswith(f"at '{path}' failed to satisfy constraint: {SHORT} {most}")

    @pytest.mark.parametrize(
        ("operation", "asked", "path"),
        [
            ("GetMLTransforms", {"Filter": {"Status": "DONE"}}, "filter.status"),
            ("GetMLTransforms", {"Sort": {"Column": "COLOUR", "SortDirection": "ASCENDING"}}, "sort.column"),
            ("ListMLTransforms", {"Sort": {"Column": "NAME", "SortDirection": "UP"}}, "sort.sortDirection"),
            ("GetMLTaskRuns", {"Filter": {"TaskRunType": "TEACH"}}, "filter.taskRunType"),
            ("GetMLTaskRuns", {"Filter": {"Status": "READY"}}, "filter.status"),
            ("GetMLTaskRuns", {"Sort": {"Column": "NAME", "SortDirection": "ASCENDING"}}, "sort.column"),
        ],
    )
    def test_a_choice_that_there_is_not_is_refused(
        self, wire: Wire, operation: str, asked: dict[str, Any], path: str
    ) -> None:
        message = check_refusal(wire.call(operation, {"TransformId": UNKNOWN, **asked}))
        assert f"at '{path}' failed to satisfy constraint: {CHOOSE} [" in message

    def test_a_sort_needs_both_of_its_members(self, wire: Wire) -> None:
        message = check_refusal(wire.call("GetMLTransforms", {"Sort": {}}))
        assert message.startswith("2 validation errors detected: Value at 'sort.column'")

    def test_at_most_50_tags_are_removed_at_once(self, wire: Wire, catalog: Catalog) -> None:
        arn = f"arn:aws:glue:us-east-1:000000000000:mlTransform/{catalog.make_transform()}"
        keys = [f"k{i}" for i in range(51)]
        assert wire.call("UntagResource", {"ResourceArn": arn, "TagsToRemove": keys[:50]}).status == 200
        message = check_refusal(wire.call("UntagResource", {"ResourceArn": arn, "TagsToRemove": keys}))
        assert message.endswith(f"at 'tagsToRemove' failed to satisfy constraint: {SHORT} 50")

    def test_a_resource_is_named_by_an_arn_of_glue(self, wire: Wire) -> None:
        for refused in ("tfm-1", "arn:aws:s3:::bucket", ""):
            assert "at 'resourceArn' failed to satisfy" in check_refusal(wire.call("GetTags", {"ResourceArn": refused}))
        allowed = f"arn:aws:glue:us-east-1:000000000000:mlTransform/{UNKNOWN}"
        check_refusal(wire.call("GetTags", {"ResourceArn": allowed}), "EntityNotFoundException")

    def test_an_id_has_1_to_255_characters(self, wire: Wire) -> None:
        check_refusal(wire.call("GetMLTransform", {"TransformId": "t" * 255}), "EntityNotFoundException")
        assert check_refusal(wire.call("GetMLTransform", {"TransformId": "t" * 256})).endswith(f"{SHORT} 255")
        assert check_refusal(wire.call("GetMLTransform", {"TransformId": ""})).endswith(f"{LONG} 1")


class TestProse:
    """Rules that no model has: of capacity, names, retries, places and tokens."""

    @pytest.mark.parametrize(
        "capacity",
        [
            {},
            {"MaxCapacity": 2},
            {"MaxCapacity": 100.0},
            {"WorkerType": "Standard", "NumberOfWorkers": 1},
            {"WorkerType": "G.025X", "NumberOfWorkers": 1},
            {"WorkerType": "G.1X", "NumberOfWorkers": 299},
        ],
        ids=str,
    )
    def test_this_capacity_is_taken(self, wire: Wire, catalog: Catalog, capacity: dict[str, Any]) -> None:
        transform = wire.call("GetMLTransform", {"TransformId": catalog.make_transform(**capacity)}).members
        assert {name: transform[name] for name in capacity} == capacity

    @pytest.mark.parametrize(
        "capacity",
        [
            {"MaxCapacity": 2, "WorkerType": "G.1X", "NumberOfWorkers": 1},
            {"MaxCapacity": 2, "WorkerType": "G.1X"},
            {"MaxCapacity": 2, "NumberOfWorkers": 1},
            {"WorkerType": "Standard"},
            {"WorkerType": "G.1X"},
            {"NumberOfWorkers": 1},
            {"MaxCapacity": 1.99},
            {"MaxCapacity": 0},
            {"MaxCapacity": -1},
            {"MaxCapacity": 100.01},
            {"MaxCapacity": "NaN"},
            {"MaxCapacity": "Infinity"},
            {"WorkerType": "R.2X", "NumberOfWorkers": 2},  # newer models know it
            {"WorkerType": "G.1X", "NumberOfWorkers": 0},
            {"WorkerType": "G.1X", "NumberOfWorkers": -1},
        ],
        ids=str,
    )
    def test_that_capacity_is_refused(self, wire: Wire, catalog: Catalog, capacity: dict[str, Any]) -> None:
        check_refusal(wire.call("CreateMLTransform", catalog.describe(**capacity)))
        transform = catalog.make_transform()
        check_refusal(wire.call("UpdateMLTransform", {"TransformId": transform, **capacity}))

    def test_max_capacity_cannot_be_set_where_the_workers_say_it(self, wire: Wire, catalog: Catalog) -> None:
        standard = catalog.make_transform(WorkerType="Standard", NumberOfWorkers=2)
        assert wire.call("UpdateMLTransform", {"TransformId": standard, "MaxCapacity": 5}).status == 200
        other = catalog.make_transform(WorkerType="G.2X", NumberOfWorkers=2)
        assert wire.call("GetMLTransform", {"TransformId": other}).members["MaxCapacity"] == 4.0
        check_refusal(wire.call("UpdateMLTransform", {"TransformId": other, "MaxCapacity": 5}))

    def test_a_name_is_taken_once(self, wire: Wire, catalog: Catalog) -> None:
        request, second = catalog.describe(), catalog.describe()
        first = wire.call("CreateMLTransform", request).members["TransformId"]
        check_refusal(wire.call("CreateMLTransform", request), "AlreadyExistsException")
        other = wire.call("CreateMLTransform", second).members["TransformId"]
        check_refusal(wire.call("UpdateMLTransform", {"TransformId": other, "Name": request["Name"]}))
        assert wire.call("UpdateMLTransform", {"TransformId": first, "Name": request["Name"]}).status == 200

    def test_retries_are_not_negative_and_have_no_upper_bound(self, wire: Wire, catalog: Catalog) -> None:
        for retries in (0, 11, 2**31 - 1):
            transform = catalog.make_transform(MaxRetries=retries)
            assert wire.call("GetMLTransform", {"TransformId": transform}).members["MaxRetries"] == retries
        check_refusal(wire.call("CreateMLTransform", catalog.describe(MaxRetries=-1)))
        check_refusal(wire.call("UpdateMLTransform", {"TransformId": transform, "MaxRetries": -1}))

    def test_a_transform_needs_a_table_that_exists(self, wire: Wire, catalog: Catalog) -> None:
        check_refusal(wire.call("CreateMLTransform", catalog.describe(InputRecordTables=[])))
        missing = [{**catalog.table, "TableName": "nobody"}]
        check_refusal(wire.call("CreateMLTransform", catalog.describe(InputRecordTables=missing)))
        catalog.make_transform(InputRecordTables=[{**catalog.table, "TableName": "PEOPLE"}])

    def test_a_transform_needs_a_primary_key_of_its_schema(self, wire: Wire, catalog: Catalog) -> None:
        for parameters in (
            {"TransformType": "FIND_MATCHES"},
            {"TransformType": "FIND_MATCHES", "FindMatchesParameters": {}},
            {"TransformType": "FIND_MATCHES", "FindMatchesParameters": {"PrimaryKeyColumnName": "nothing"}},
        ):
            check_refusal(wire.call("CreateMLTransform", catalog.describe(Parameters=parameters)))

    def test_a_role_has_no_pattern(self, wire: Wire, catalog: Catalog) -> None:
        for role in ("any", "r" * 5000, "\u00fc \n"):
            transform = catalog.make_transform(Role=role)
            assert wire.call("GetMLTransform", {"TransformId": transform}).members["Role"] == role

    @pytest.mark.parametrize("path", ["", "here", "/tmp/x", "s3:/b/k", "https://b/k", "file://elsewhere/x", "s3://"])
    def test_what_is_no_place_is_refused(self, wire: Wire, catalog: Catalog, path: str) -> None:
        transform = catalog.make_transform()
        for operation, member in (
            ("StartMLLabelingSetGenerationTaskRun", "OutputS3Path"),
            ("StartExportLabelsTaskRun", "OutputS3Path"),
            ("StartImportLabelsTaskRun", "InputS3Path"),
        ):
            assert member in check_refusal(wire.call(operation, {"TransformId": transform, member: path}))

    @pytest.mark.parametrize("path", ["s3://bucket/key/", "s3a://bucket", "file:///tmp/x/", "file://localhost/tmp/x"])
    def test_what_is_a_place_is_taken(self, wire: Wire, catalog: Catalog, path: str) -> None:
        started = {"TransformId": catalog.make_transform(), "OutputS3Path": path}
        assert wire.call("StartMLLabelingSetGenerationTaskRun", started).status == 200

    @pytest.mark.parametrize("token", ["x", "AAAA", "\u00e9", "=", "A" * 5000, " "])
    def test_a_token_that_is_not_ours_is_refused(self, wire: Wire, catalog: Catalog, token: str) -> None:
        transform = catalog.make_transform()
        for operation in ("GetMLTransforms", "ListMLTransforms", "GetMLTaskRuns", "GetJobs", "GetDatabases"):
            check_refusal(wire.call(operation, {"NextToken": token, "TransformId": transform}))


class TestLimits:
    """Limits of the account and of a transform."""

    def test_a_transform_has_three_active_runs(self, wire: Wire, catalog: Catalog, tmp_path: Path) -> None:
        started = {"TransformId": catalog.make_transform(), "OutputS3Path": "file:///tmp/x"}
        for _ in range(3):
            assert wire.call("StartMLLabelingSetGenerationTaskRun", started).status == 200
        answer = wire.call("StartMLLabelingSetGenerationTaskRun", started)
        check_refusal(answer, "ConcurrentRunsExceededException")
        (tmp_path / "labels.csv").write_text("labeling_set_id,label,id\n")
        imported = {"TransformId": started["TransformId"], "InputS3Path": (tmp_path / "labels.csv").as_uri()}
        answer = wire.call("StartImportLabelsTaskRun", imported)
        check_refusal(answer, "ResourceNumberLimitExceededException")

    def test_an_account_has_so_many_transforms_and_active_runs(
        self, open_small_server: Callable[..., Wire], make_catalog: Callable[[Wire], Catalog]
    ) -> None:
        catalog = make_catalog(wire := open_small_server(max_transforms=2, max_runs_per_account=4))
        transforms = [catalog.make_transform(), catalog.make_transform()]
        answer = wire.call("CreateMLTransform", catalog.describe())
        check_refusal(answer, "ResourceNumberLimitExceededException")
        for number in range(5):
            started = {"TransformId": transforms[number // 3], "OutputS3Path": "s3://bucket/x"}
            answer = wire.call("StartMLLabelingSetGenerationTaskRun", started)
            assert answer.status == (200 if number < 4 else 400)
        check_refusal(answer, "ConcurrentRunsExceededException")

    def test_a_label_file_has_1_byte_to_10_megabytes(self, wire: Wire, catalog: Catalog, tmp_path: Path) -> None:
        started = {"TransformId": catalog.make_transform(), "InputS3Path": (tmp_path / "labels.csv").as_uri()}
        check_refusal(wire.call("StartImportLabelsTaskRun", started))  # it is not there
        for size, code in (
            (0, "InvalidInputException"),
            (1, None),
            (10 * MEGABYTE, None),
            (10 * MEGABYTE + 1, "ResourceNumberLimitExceededException"),
        ):
            with (tmp_path / "labels.csv").open("wb") as file:
                file.truncate(size)
            assert wire.call("StartImportLabelsTaskRun", started).code == code

    def test_what_is_not_taught_is_not_evaluated_or_exported(self, wire: Wire, catalog: Catalog) -> None:
        transform = catalog.make_transform()
        answer = wire.call("StartMLEvaluationTaskRun", {"TransformId": transform})
        check_refusal(answer, "MLTransformNotReadyException")
        exported = {"TransformId": transform, "OutputS3Path": "file:///tmp/x"}
        check_refusal(wire.call("StartExportLabelsTaskRun", exported), "EntityNotFoundException")


class TestBoto3:
    """The same through boto3 whose own validation is off."""

    def test_a_constraint_arrives_as_the_error_that_the_operation_declares(self, unchecked: GlueClient) -> None:
        with pytest.raises(unchecked.exceptions.InvalidInputException) as caught:
            unchecked.get_ml_transforms(MaxResults=1001)
        assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 400
        assert caught.value.response["Error"]["Message"].startswith("1 validation error detected: Value '1001'")

    @pytest.mark.parametrize(
        "request_members",
        [
            {"Name": ""},
            {"Timeout": 0},
            {"Role": None},
            {"Parameters": {}},
            {"MaxCapacity": 1.0},
            {"WorkerType": "G.1X"},
        ],
        ids=str,
    )
    def test_a_create_that_is_wrong_is_refused(
        self, unchecked: GlueClient, catalog: Catalog, request_members: dict[str, Any]
    ) -> None:
        request: Any = catalog.describe() | request_members
        with pytest.raises(unchecked.exceptions.InvalidInputException):
            unchecked.create_ml_transform(**request)
