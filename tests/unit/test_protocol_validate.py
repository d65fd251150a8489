# ruff: noqa: E501 - one constraint a line reads as the table that it is
"""Constraints of the ML operations: both sides of every edge, in the words of the live service."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from botocore.model import Shape, StructureShape
from botocore.validate import ParamValidator

from glue_ml.protocol.model import compile_pattern, load_service
from glue_ml.protocol.validate import validate

SERVICE = load_service("glue")
ML_OPERATIONS = (
    "CreateMLTransform", "UpdateMLTransform", "DeleteMLTransform", "GetMLTransform", "GetMLTransforms",
    "ListMLTransforms", "StartMLEvaluationTaskRun", "StartMLLabelingSetGenerationTaskRun", "StartImportLabelsTaskRun",
    "StartExportLabelsTaskRun", "GetMLTaskRun", "GetMLTaskRuns", "CancelMLTaskRun", "TagResource", "UntagResource",
    "GetTags",
)  # fmt: skip
OTHER_OPERATIONS = (
    "CreateDatabase", "GetDatabases", "CreateTable", "GetTables", "BatchDeleteTable", "CreatePartition",
    "BatchCreatePartition", "GetPartitions", "GetPartitionIndexes", "CreateJob", "UpdateJob", "StartJobRun",
    "GetJobRuns", "BatchStopJobRun",
)  # fmt: skip

TABLE = {"DatabaseName": "db", "TableName": "t"}
CREATE: dict[str, Any] = {
    "Name": "n",
    "Role": "r",
    "InputRecordTables": [TABLE],
    "Parameters": {"TransformType": "FIND_MATCHES", "FindMatchesParameters": {"PrimaryKeyColumnName": "id"}},
}


def input_shape(operation: str) -> StructureShape:
    found = SERVICE.find_operation(operation)
    assert found is not None
    assert found.input_shape is not None
    return found.input_shape


def check(operation: str, members: dict[str, Any]) -> str | None:
    return validate(input_shape(operation), members)


def text(length: int) -> str:
    return "x" * length


def tables(count: int) -> list[dict[str, str]]:
    return [TABLE] * count


def mapping(count: int) -> dict[str, str]:
    return {f"k{i}": "v" for i in range(count)}


def create(**members: Any) -> tuple[str, dict[str, Any]]:
    return "CreateMLTransform", {**CREATE, **members}


def find_matches(**members: Any) -> tuple[str, dict[str, Any]]:
    given = {"PrimaryKeyColumnName": "id", **members}
    return create(Parameters={"TransformType": "FIND_MATCHES", "FindMatchesParameters": given})


def transforms(**members: Any) -> tuple[str, dict[str, Any]]:
    return "GetMLTransforms", members


def runs(**members: Any) -> tuple[str, dict[str, Any]]:
    return "GetMLTaskRuns", {"TransformId": "tfm-1", **members}


def tag(**members: Any) -> tuple[str, dict[str, Any]]:
    return "TagResource", {"ResourceArn": "arn:aws:glue:x", "TagsToAdd": {}, **members}


Build = Callable[[Any], tuple[str, dict[str, Any]]]

#: What is built, a value just inside, one just outside, the path, and the constraint that is told.
EDGES: list[tuple[Build, Any, Any, str, str]] = [
    (lambda v: ("GetMLTransform", {"TransformId": v}), text(1), "", "transformId", "length greater than or equal to 1"),
    (lambda v: ("GetMLTransform", {"TransformId": v}), text(255), text(256), "transformId", "length less than or equal to 255"),
    (lambda v: runs(TransformId=v), "tfm\t1", "tfm\n1", "transformId", "satisfy regular expression pattern"),
    (lambda v: ("GetMLTaskRun", {"TransformId": "t", "TaskRunId": v}), text(255), text(256), "taskRunId", "length less than or equal to 255"),
    (lambda v: create(Name=v), text(1), "", "name", "length greater than or equal to 1"),
    (lambda v: create(Name=v), text(255), text(256), "name", "length less than or equal to 255"),
    (lambda v: create(Name=v), "\U0001f600 ok", "a\rb", "name", "satisfy regular expression pattern"),
    (lambda v: create(Description=v), text(2048), text(2049), "description", "length less than or equal to 2048"),
    (lambda v: create(Description=v), "a\r\n\tb", "a\x07b", "description", "satisfy regular expression pattern"),
    (lambda v: create(GlueVersion=v), "1.0", "1", "glueVersion", "satisfy regular expression pattern"),
    (lambda v: create(GlueVersion=v), "1." + text(253), "1." + text(254), "glueVersion", "length less than or equal to 255"),
    (lambda v: create(InputRecordTables=v), tables(10), tables(11), "inputRecordTables", "length less than or equal to 10"),
    (lambda v: create(InputRecordTables=[{**TABLE, "DatabaseName": v}]), "d", "", "inputRecordTables.1.member.databaseName", "length greater than or equal to 1"),
    (lambda v: create(InputRecordTables=[{**TABLE, "CatalogId": v}]), text(255), text(256), "inputRecordTables.1.member.catalogId", "length less than or equal to 255"),
    (lambda v: create(InputRecordTables=[{**TABLE, "AdditionalOptions": v}]), mapping(1), {}, "inputRecordTables.1.member.additionalOptions", "length greater than or equal to 1"),
    (lambda v: create(InputRecordTables=[{**TABLE, "AdditionalOptions": v}]), mapping(10), mapping(11), "inputRecordTables.1.member.additionalOptions", "length less than or equal to 10"),
    (lambda v: create(InputRecordTables=[{**TABLE, "AdditionalOptions": {"k": v}}]), text(2048), text(2049), "inputRecordTables.1.member.additionalOptions.k.member", "length less than or equal to 2048"),
    (lambda v: create(Tags=v), mapping(50), mapping(51), "tags", "length less than or equal to 50"),
    (lambda v: create(Tags={"k": v}), text(256), text(257), "tags.k.member", "length less than or equal to 256"),
    (lambda v: create(Tags={v: "x"}), text(128), text(129), "tags", "Map keys must satisfy constraint: [Member must have length less than or equal to 128"),
    (lambda v: create(Tags={v: "x"}), "k", "", "tags", "Map keys must satisfy constraint: [Member must have length greater than or equal to 1"),
    (lambda v: create(Timeout=v), 1, 0, "timeout", "value greater than or equal to 1"),
    (lambda v: create(WorkerType=v), "Z.2X", "G.9X", "workerType", "satisfy enum value set: ["),
    (lambda v: create(TransformEncryption={"MlUserDataEncryption": {"MlUserDataEncryptionMode": v}}), "SSE-KMS", "KMS", "transformEncryption.mlUserDataEncryption.mlUserDataEncryptionMode", "satisfy enum value set: [DISABLED, SSE-KMS]"),
    (lambda v: create(TransformEncryption={"MlUserDataEncryption": {"MlUserDataEncryptionMode": "SSE-KMS", "KmsKeyId": v}}), text(255), text(256), "transformEncryption.mlUserDataEncryption.kmsKeyId", "length less than or equal to 255"),
    (lambda v: create(TransformEncryption={"TaskRunSecurityConfigurationName": v}), "s", "", "transformEncryption.taskRunSecurityConfigurationName", "length greater than or equal to 1"),
    (lambda v: create(Parameters={"TransformType": v}), "FIND_MATCHES", "NOPE", "parameters.transformType", "satisfy enum value set: [FIND_MATCHES]"),
    (lambda v: find_matches(PrimaryKeyColumnName=v), text(1024), text(1025), "parameters.findMatchesParameters.primaryKeyColumnName", "length less than or equal to 1024"),
    (lambda v: find_matches(PrecisionRecallTradeoff=v), 0.0, -0.01, "parameters.findMatchesParameters.precisionRecallTradeoff", "value greater than or equal to 0"),
    (lambda v: find_matches(PrecisionRecallTradeoff=v), 1.0, 1.01, "parameters.findMatchesParameters.precisionRecallTradeoff", "value less than or equal to 1"),
    (lambda v: find_matches(AccuracyCostTradeoff=v), 1.0, float("nan"), "parameters.findMatchesParameters.accuracyCostTradeoff", "value greater than or equal to 0"),
    (lambda v: find_matches(AccuracyCostTradeoff=v), 1.0, float("inf"), "parameters.findMatchesParameters.accuracyCostTradeoff", "value less than or equal to 1"),
    (lambda v: transforms(MaxResults=v), 1, 0, "maxResults", "value greater than or equal to 1"),
    (lambda v: transforms(MaxResults=v), 1000, 1001, "maxResults", "value less than or equal to 1000"),
    (lambda v: runs(MaxResults=v), 1000, 1001, "maxResults", "value less than or equal to 1000"),
    (lambda v: transforms(Filter={"Name": v}), text(255), text(256), "filter.name", "length less than or equal to 255"),
    (lambda v: transforms(Filter={"Status": v}), "DELETING", "GONE", "filter.status", "satisfy enum value set: [NOT_READY, READY, DELETING]"),
    (lambda v: transforms(Filter={"GlueVersion": v}), "0.9", "0,9", "filter.glueVersion", "satisfy regular expression pattern"),
    (lambda v: transforms(Filter={"Schema": v}), [{"Name": "a"}] * 100, [{"Name": "a"}] * 101, "filter.schema", "length less than or equal to 100"),
    (lambda v: transforms(Filter={"Schema": [{"Name": v}]}), text(1024), text(1025), "filter.schema.1.member.name", "length less than or equal to 1024"),
    (lambda v: transforms(Filter={"Schema": [{"DataType": v}]}), text(131072), text(131073), "filter.schema.1.member.dataType", "length less than or equal to 131072"),
    (lambda v: transforms(Sort={"Column": v, "SortDirection": "ASCENDING"}), "LAST_MODIFIED", "STARTED", "sort.column", "satisfy enum value set: [NAME, TRANSFORM_TYPE, STATUS, CREATED, LAST_MODIFIED]"),
    (lambda v: transforms(Sort={"Column": "NAME", "SortDirection": v}), "DESCENDING", "DOWN", "sort.sortDirection", "satisfy enum value set: [DESCENDING, ASCENDING]"),
    (lambda v: runs(Filter={"TaskRunType": v}), "FIND_MATCHES", "TRAINING", "filter.taskRunType", "satisfy enum value set: ["),
    (lambda v: runs(Filter={"Status": v}), "TIMEOUT", "READY", "filter.status", "satisfy enum value set: ["),
    (lambda v: runs(Sort={"Column": v, "SortDirection": "ASCENDING"}), "STARTED", "NAME", "sort.column", "satisfy enum value set: [TASK_RUN_TYPE, STATUS, STARTED]"),
    (lambda v: tag(ResourceArn=v), "arn:aws-us-gov:glue:x", "arn:aws:s3:x", "resourceArn", "satisfy regular expression pattern"),
    (lambda v: tag(ResourceArn=v), "arn:aws:glue:" + text(10227), "arn:aws:glue:" + text(10228), "resourceArn", "length less than or equal to 10240"),
    (lambda v: tag(TagsToAdd=v), mapping(50), mapping(51), "tagsToAdd", "length less than or equal to 50"),
    (lambda v: ("UntagResource", {"ResourceArn": "arn:aws:glue:x", "TagsToRemove": v}), ["k"] * 50, ["k"] * 51, "tagsToRemove", "length less than or equal to 50"),
    (lambda v: ("UntagResource", {"ResourceArn": "arn:aws:glue:x", "TagsToRemove": [v]}), text(128), text(129), "tagsToRemove.1.member", "length less than or equal to 128"),
]  # fmt: skip


@pytest.mark.parametrize(("build", "inside", "outside", "path", "constraint"), EDGES)
def test_a_constraint_holds_on_both_sides_of_its_edge(
    build: Build, inside: Any, outside: Any, path: str, constraint: str
) -> None:
    assert check(*build(inside)) is None
    told = check(*build(outside))
    assert told is not None
    assert told.startswith("1 validation error detected: Value '")
    assert f"' at '{path}' failed to satisfy constraint: " in told
    assert constraint in told


def test_the_text_is_that_of_the_live_service() -> None:
    told = check("GetMLTransforms", {"Filter": {"Name": "a\nb"}})
    assert told == (
        "1 validation error detected: Value 'a\\u000ab' at 'filter.name' failed to satisfy constraint: Member must "
        r"satisfy regular expression pattern: [\u0020-\uD7FF\uE000-\uFFFD\uD800\uDC00-\uDBFF\uDFFF\t]*"
    )


def test_several_broken_constraints_are_told_together() -> None:
    told = check("CreateMLTransform", {**CREATE, "Name": "", "Timeout": 0})
    assert told == (
        "2 validation errors detected: Value '' at 'name' failed to satisfy constraint: Member must have length greater "
        "than or equal to 1; Value '0' at 'timeout' failed to satisfy constraint: Member must have value greater than or "
        "equal to 1"
    )


def test_a_member_that_is_required_must_not_be_null() -> None:
    assert check("CreateMLTransform", {**CREATE, "InputRecordTables": [{"DatabaseName": "d"}]}) == (
        "1 validation error detected: Value at 'inputRecordTables.1.member.tableName' failed to satisfy constraint: "
        "Member must not be null"
    )


def test_after_ten_broken_constraints_no_more_are_looked_for() -> None:
    told = check("UntagResource", {"ResourceArn": "arn:aws:glue:x", "TagsToRemove": [""] * 250_000})
    assert told is not None
    assert told.startswith("10 validation errors detected: ")
    assert told.count("Member must") == 10


def test_a_long_value_is_not_repeated_whole() -> None:
    told = check("CreateMLTransform", {**CREATE, "Name": text(100_000)})
    assert told is not None
    assert len(told) < 500


def list_shapes(shape: Shape, seen: dict[str, Shape]) -> None:
    if shape.name in seen:
        return
    seen[shape.name] = shape
    for inner in (*getattr(shape, "members", {}).values(), *(
        getattr(shape, name) for name in ("member", "key", "value") if hasattr(shape, name)
    )):  # fmt: skip
        list_shapes(inner, seen)


@pytest.mark.parametrize("operation", [*ML_OPERATIONS, *OTHER_OPERATIONS])
def test_every_pattern_of_an_operation_compiles(operation: str) -> None:
    seen: dict[str, Shape] = {}
    list_shapes(input_shape(operation), seen)
    patterns = {shape.metadata["pattern"] for shape in seen.values() if "pattern" in shape.metadata}
    assert all(compile_pattern(pattern).pattern for pattern in patterns)


@pytest.mark.parametrize(
    ("operation", "members"),
    [
        ("CreateMLTransform", {name: value for name, value in CREATE.items() if name != left_out})
        for left_out in CREATE
    ]
    + [
        ("CreateMLTransform", {**CREATE, "Name": ""}),
        ("CreateMLTransform", {**CREATE, "Timeout": 0}),
        ("CreateMLTransform", {**CREATE, "Parameters": {}}),
        ("GetMLTransforms", {"MaxResults": 0}),
        ("GetMLTransforms", {"Sort": {"Column": "NAME"}}),
        ("GetMLTaskRun", {"TransformId": "t"}),
        ("TagResource", {"ResourceArn": "arn:aws:glue:x"}),
    ],
)  # fmt: skip
def test_what_the_client_itself_refuses_is_refused_here_too(operation: str, members: dict[str, Any]) -> None:
    shape = input_shape(operation)
    assert ParamValidator().validate(members, shape).has_errors()
    assert validate(shape, members) is not None
