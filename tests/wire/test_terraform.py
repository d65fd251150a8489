"""What Terraform's `aws_glue_ml_transform`, `_catalog_database` and `_catalog_table` send, in their order and values.

After the source and the acceptance tests of hashicorp/terraform-provider-aws. The provider sends both tradeoffs and
EnforceProvidedLabels always, Timeout always, tags with the create, and builds the ARN by itself.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError

from tests.wire.wire import Wire, open_client

if TYPE_CHECKING:
    from mypy_boto3_glue import GlueClient

ROLE = "arn:aws:iam::000000000000:role/tf-acc-test"
COLUMNS = [
    {"Name": "my_column_1", "Type": "int", "Comment": "my_column1_comment"},
    {"Name": "my_column_2", "Type": "string", "Comment": "my_column2_comment"},
]
KEYS = COLUMNS  #: The same names again: they must not be told twice.
DELETE_SECONDS = 120


@dataclass
class Terraform:
    """One state: a database, a table and a transform."""

    glue: GlueClient
    name: str
    transform_id: str = ""

    @property
    def arn(self) -> str:
        return f"arn:aws:glue:us-east-1:000000000000:mlTransform/{self.transform_id}"

    def make_database(self) -> None:
        self.glue.create_database(DatabaseInput={"Name": self.name}, Tags={})
        database = self.glue.get_database(Name=self.name)["Database"]
        assert database["Name"] == self.name
        assert database["CatalogId"] == "000000000000"
        tags = self.glue.get_tags(ResourceArn=f"arn:aws:glue:us-east-1:000000000000:database/{self.name}")
        assert tags["Tags"] == {}

    def make_table(self) -> None:
        table_input: Any = describe_table(self.name)
        self.glue.create_table(
            CatalogId="000000000000", DatabaseName=self.name, PartitionIndexes=[], TableInput=table_input
        )
        waited = self.glue.get_table(DatabaseName=self.name, Name=self.name)["Table"]
        assert "Status" not in waited  # no status counts as success while it waits for a view
        table = self.glue.get_table(CatalogId="000000000000", DatabaseName=self.name, Name=self.name)["Table"]
        assert table["StorageDescriptor"]["Location"] == "my_location"
        assert table["TableType"] == "VIRTUAL_VIEW"
        assert table["PartitionKeys"] == KEYS
        indexes = self.glue.get_partition_indexes(CatalogId="000000000000", DatabaseName=self.name, TableName=self.name)
        assert indexes["PartitionIndexDescriptorList"] == []

    def apply(self, **arguments: Any) -> None:
        """What `terraform apply` does for a transform that is not in the state."""
        request: dict[str, Any] = {
            "Name": self.name,
            "Role": ROLE,
            "Timeout": 2880,
            "InputRecordTables": [{"DatabaseName": self.name, "TableName": self.name}],
            "Parameters": describe_parameters(),
            **arguments,
        }
        self.transform_id = self.glue.create_ml_transform(**request)["TransformId"]
        self.refresh()

    def refresh(self) -> Mapping[str, Any]:
        """What a read does; the transform as it is now."""
        transform = self.glue.get_ml_transform(TransformId=self.transform_id)
        self.glue.get_tags(ResourceArn=self.arn)
        return transform

    def update(self, **arguments: Any) -> Mapping[str, Any]:
        """What `terraform apply` does for one that is there; the transform afterwards."""
        request: dict[str, Any] = {
            "TransformId": self.transform_id, "Role": ROLE, "Timeout": 2880, "Parameters": describe_parameters(),
            **arguments,
        }  # fmt: skip
        assert self.glue.update_ml_transform(**request)["TransformId"] == self.transform_id
        return self.refresh()

    def read_tags(self) -> Mapping[str, str]:
        return self.glue.get_tags(ResourceArn=self.arn)["Tags"]

    def destroy(self) -> list[str]:
        """What `terraform destroy` does; the status at every look until the transform is gone."""
        self.glue.delete_ml_transform(TransformId=self.transform_id)
        seen: list[str] = []
        for _ in range(DELETE_SECONDS * 5):
            try:
                seen.append(self.glue.get_ml_transform(TransformId=self.transform_id)["Status"])
            except self.glue.exceptions.EntityNotFoundException:
                return seen
            time.sleep(0.2)
        raise AssertionError(f"still there after {DELETE_SECONDS} s: {seen[-1]}")


def describe_table(name: str) -> dict[str, Any]:
    """The view of the acceptance tests: nothing of it can be opened."""
    return {
        "Name": name,
        "Owner": "my_owner",
        "Retention": 1,
        "TableType": "VIRTUAL_VIEW",
        "ViewExpandedText": "view_expanded_text_1",
        "ViewOriginalText": "view_original_text_1",
        "StorageDescriptor": {
            "BucketColumns": ["bucket_column_1"],
            "Columns": COLUMNS,
            "Compressed": False,
            "InputFormat": "SequenceFileInputFormat",
            "Location": "my_location",
            "NumberOfBuckets": 1,
            "OutputFormat": "SequenceFileInputFormat",
            "StoredAsSubDirectories": False,
            "Parameters": {"param1": "param1_val"},
            "SerdeInfo": {
                "Name": "ser_de_name",
                "Parameters": {"param1": "param_val_1"},
                "SerializationLibrary": "org.apache.hadoop.hive.serde2.columnar.ColumnarSerDe",
            },
            "SortColumns": [{"Column": "my_column_1", "SortOrder": 1}],
            "SkewedInfo": {
                "SkewedColumnNames": ["my_column_1"],
                "SkewedColumnValueLocationMaps": {"my_column_1": "my_column_1_val_loc_map"},
                "SkewedColumnValues": ["skewed_val_1"],
            },
        },
        "PartitionKeys": KEYS,
        "Parameters": {"param1": "param1_val"},
    }


def describe_parameters(*, enforce: bool = False, accuracy: float = 0.0, precision: float = 0.0) -> dict[str, Any]:
    return {
        "TransformType": "FIND_MATCHES",
        "FindMatchesParameters": {
            "PrimaryKeyColumnName": "my_column_1",
            "AccuracyCostTradeoff": accuracy,
            "PrecisionRecallTradeoff": precision,
            "EnforceProvidedLabels": enforce,
        },
    }


def read_parameters(transform: Mapping[str, Any]) -> Mapping[str, Any]:
    parameters: Mapping[str, Any] = transform["Parameters"]["FindMatchesParameters"]
    return parameters


@pytest.fixture
def terraform(glue: GlueClient) -> Terraform:
    """A state with the database and the table of the provider's acceptance tests."""
    state = Terraform(glue, f"tf-acc-test-{secrets.token_hex(5)}")
    state.make_database()
    state.make_table()
    return state


@pytest.fixture
def living(open_small_server: Callable[..., Wire]) -> Iterator[Terraform]:
    """A state on a server that removes what was deleted."""
    client = open_client(open_small_server(with_scheduler=True).endpoint)
    state = Terraform(client, f"tf-acc-test-{secrets.token_hex(5)}")
    state.make_database()
    state.make_table()
    yield state
    client.close()


def test_basic(terraform: Terraform) -> None:
    terraform.apply()
    transform = terraform.refresh()
    assert terraform.arn.rpartition(":")[2].startswith("mlTransform/tfm-")
    assert transform["Name"] == terraform.name
    assert transform["Role"] == ROLE
    assert transform["Status"] == "NOT_READY"
    assert transform["LabelCount"] == 0
    assert transform["Timeout"] == 2880
    assert transform["MaxRetries"] == 0
    assert transform["MaxCapacity"] == 10.0
    assert transform["Schema"] == [
        {"Name": "my_column_1", "DataType": "int"},
        {"Name": "my_column_2", "DataType": "string"},
    ]
    assert transform["InputRecordTables"] == [{"DatabaseName": terraform.name, "TableName": terraform.name}]
    assert transform["Parameters"] == describe_parameters()
    assert terraform.read_tags() == {}


def test_the_full_parameters_go_there_and_back(terraform: Terraform) -> None:
    first = describe_parameters(enforce=True, accuracy=0.5, precision=0.5)
    second = describe_parameters(enforce=False, accuracy=1.0, precision=1.0)
    terraform.apply(Parameters=first)
    for parameters in (first, second, first):
        assert terraform.update(Parameters=parameters)["Parameters"] == parameters


def test_description(terraform: Terraform) -> None:
    terraform.apply(Description="First Description")
    assert terraform.refresh()["Description"] == "First Description"
    assert terraform.update(Description="Second Description")["Description"] == "Second Description"


def test_the_glue_version_changes_in_place(terraform: Terraform) -> None:
    terraform.apply(GlueVersion="0.9")
    assert terraform.refresh()["GlueVersion"] == "0.9"
    assert terraform.update(GlueVersion="1.0")["GlueVersion"] == "1.0"


def test_max_retries(terraform: Terraform) -> None:
    terraform.apply(MaxRetries=0)
    assert terraform.refresh()["MaxRetries"] == 0
    assert terraform.update(MaxRetries=10)["MaxRetries"] == 10


def test_tags_are_made_with_the_transform_and_changed_by_their_own_operations(terraform: Terraform) -> None:
    terraform.apply(Tags={"key1": "value1"})
    assert terraform.read_tags() == {"key1": "value1"}
    terraform.glue.tag_resource(ResourceArn=terraform.arn, TagsToAdd={"key1": "value1updated", "key2": "value2"})
    assert terraform.read_tags() == {"key1": "value1updated", "key2": "value2"}
    terraform.glue.untag_resource(ResourceArn=terraform.arn, TagsToRemove=["key1"])
    assert terraform.read_tags() == {"key2": "value2"}


def test_timeout(terraform: Terraform) -> None:
    terraform.apply(Timeout=1)
    assert terraform.refresh()["Timeout"] == 1
    assert terraform.update(Timeout=2)["Timeout"] == 2


def test_worker_type(terraform: Terraform) -> None:
    terraform.apply(WorkerType="Standard", NumberOfWorkers=1)
    assert (terraform.refresh()["WorkerType"], terraform.refresh()["NumberOfWorkers"]) == ("Standard", 1)
    transform = terraform.update(WorkerType="G.1X", NumberOfWorkers=2)
    assert (transform["WorkerType"], transform["NumberOfWorkers"]) == ("G.1X", 2)


def test_max_capacity(terraform: Terraform) -> None:
    terraform.apply(MaxCapacity=10.0)
    assert terraform.refresh()["MaxCapacity"] == 10.0
    assert terraform.update(MaxCapacity=15.0)["MaxCapacity"] == 15.0


def test_an_update_leaves_what_it_does_not_name(terraform: Terraform) -> None:
    terraform.apply(Description="kept", MaxRetries=3, GlueVersion="1.0")
    transform = terraform.update(Timeout=7)
    assert transform["Name"] == terraform.name
    assert (transform["Description"], transform["MaxRetries"], transform["GlueVersion"]) == ("kept", 3, "1.0")


def test_a_transform_that_disappears_is_not_found(terraform: Terraform) -> None:
    terraform.transform_id = f"tfm-{secrets.token_hex(20)}"
    with pytest.raises(ClientError) as caught:
        terraform.refresh()
    assert caught.value.response["Error"]["Code"] == "EntityNotFoundException"


def test_a_delete_ends_in_not_found(living: Terraform) -> None:
    living.apply(Tags={"key1": "value1"})
    assert set(living.destroy()) <= {"NOT_READY", "READY", "DELETING"}
    with pytest.raises(living.glue.exceptions.EntityNotFoundException):
        living.read_tags()


def test_a_transform_deleted_elsewhere_can_be_deleted_again_and_made_anew(living: Terraform) -> None:
    living.apply()
    living.destroy()
    with pytest.raises(living.glue.exceptions.EntityNotFoundException):
        living.glue.delete_ml_transform(TransformId=living.transform_id)
    before = living.transform_id
    living.apply()
    assert living.transform_id != before


def test_the_table_and_the_database_go_last(living: Terraform) -> None:
    living.apply()
    living.destroy()
    living.glue.delete_table(DatabaseName=living.name, Name=living.name)
    with pytest.raises(living.glue.exceptions.EntityNotFoundException):
        living.glue.get_table(DatabaseName=living.name, Name=living.name)
    living.glue.delete_database(Name=living.name)
    with pytest.raises(living.glue.exceptions.EntityNotFoundException):
        living.glue.get_database(Name=living.name)
