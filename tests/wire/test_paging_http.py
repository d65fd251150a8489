"""Lists in pages as real clients read them: by hand where boto3 has no paginator, by its paginators where it has."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from tests.wire.wire import Catalog, Wire, open_client

if TYPE_CHECKING:
    from mypy_boto3_glue import GlueClient

ROWS = 7


@pytest.fixture
def shop(open_small_server: Callable[..., Wire], make_catalog: Callable[[Wire], Catalog]) -> Catalog:
    """A server of the test's own, with nothing but a table, so that lists hold what the test makes."""
    return make_catalog(open_small_server(max_runs_per_transform=100, max_transforms=200))


@pytest.fixture
def client(shop: Catalog) -> Iterator[GlueClient]:
    client = open_client(shop.wire.endpoint)
    yield client
    client.close()


def read_pages(fetch: Callable[..., Any], member: str, **request: Any) -> list[list[Any]]:
    """All pages of a list, by its NextToken."""
    pages: list[list[Any]] = []
    token: dict[str, Any] = {}
    while len(pages) < 100:
        answer = fetch(**request, **token)
        pages.append(answer[member])
        if "NextToken" not in answer:
            return pages
        token = {"NextToken": answer["NextToken"]}
    raise AssertionError("the list has no end")


def flatten(pages: list[list[Any]]) -> list[Any]:
    return [one for page in pages for one in page]


@pytest.mark.parametrize(("size", "sizes"), [(1, [1] * 7), (3, [3, 3, 1]), (7, [7]), (8, [7]), (1000, [7])])
def test_pages_are_full_and_the_last_one_has_no_token(
    client: GlueClient, shop: Catalog, size: int, sizes: list[int]
) -> None:
    made = [shop.make_transform() for _ in range(ROWS)]
    for fetch, member in ((client.get_ml_transforms, "Transforms"), (client.list_ml_transforms, "TransformIds")):
        pages = read_pages(fetch, member, MaxResults=size)
        assert [len(page) for page in pages] == sizes
        told = [one if isinstance(one, str) else one["TransformId"] for one in flatten(pages)]
        assert told == made[::-1]  # the newest first


def test_an_empty_list_is_one_empty_page(client: GlueClient, shop: Catalog) -> None:
    assert read_pages(client.get_ml_transforms, "Transforms") == [[]]
    assert read_pages(client.list_ml_transforms, "TransformIds") == [[]]
    assert read_pages(client.get_ml_task_runs, "TaskRuns", TransformId=shop.make_transform()) == [[]]


def test_without_a_size_a_page_has_100(client: GlueClient, shop: Catalog) -> None:
    for _ in range(101):
        shop.make_transform()
    pages = read_pages(client.list_ml_transforms, "TransformIds")
    assert [len(page) for page in pages] == [100, 1]


@pytest.mark.parametrize("column", ["NAME", "TRANSFORM_TYPE", "STATUS", "CREATED", "LAST_MODIFIED"])
@pytest.mark.parametrize("direction", ["ASCENDING", "DESCENDING"])
def test_nothing_is_told_twice_or_left_out_in_any_order(
    client: GlueClient, shop: Catalog, column: Any, direction: Any
) -> None:
    made = {shop.make_transform() for _ in range(ROWS)}
    sort = {"Column": column, "SortDirection": direction}
    told = flatten(read_pages(client.list_ml_transforms, "TransformIds", Sort=sort, MaxResults=2))
    assert len(told) == ROWS
    assert set(told) == made


def test_a_list_goes_on_where_it_was_while_others_are_made(client: GlueClient, shop: Catalog) -> None:
    made = [shop.make_transform() for _ in range(4)]
    sort: Any = {"Column": "CREATED", "SortDirection": "DESCENDING"}
    first = client.list_ml_transforms(Sort=sort, MaxResults=2)
    newer = [shop.make_transform() for _ in range(3)]
    rest = client.list_ml_transforms(Sort=sort, MaxResults=1000, NextToken=first["NextToken"])
    assert [*first["TransformIds"], *rest["TransformIds"]] == made[::-1]
    assert not set(newer) & {*first["TransformIds"], *rest["TransformIds"]}


def test_the_task_runs_of_one_transform_are_told_in_pages(client: GlueClient, shop: Catalog) -> None:
    transform, other = shop.make_transform(), shop.make_transform()
    made = []
    for number in range(2 * ROWS):
        owner = other if number % 2 else transform
        run = client.start_ml_labeling_set_generation_task_run(TransformId=owner, OutputS3Path="s3://b/k")
        made += [run["TaskRunId"]] if owner == transform else []
    pages = read_pages(client.get_ml_task_runs, "TaskRuns", TransformId=transform, MaxResults=3)
    assert [len(page) for page in pages] == [3, 3, 1]
    assert [run["TaskRunId"] for run in flatten(pages)] == made[::-1]


def test_a_token_may_be_used_again(client: GlueClient, shop: Catalog) -> None:
    for _ in range(3):
        shop.make_transform()
    token = client.list_ml_transforms(MaxResults=1)["NextToken"]
    again = [client.list_ml_transforms(MaxResults=2, NextToken=token)["TransformIds"] for _ in range(2)]
    assert again[0] == again[1]
    assert len(again[0]) == 2


def test_a_token_is_of_one_list_only(client: GlueClient, shop: Catalog) -> None:
    for _ in range(3):
        shop.make_transform()
    token = client.list_ml_transforms(MaxResults=1)["NextToken"]
    others: list[Callable[[], Any]] = [
        lambda: client.get_ml_transforms(NextToken=token),
        lambda: client.list_ml_transforms(NextToken=token, Filter={"Status": "READY"}),
        lambda: client.list_ml_transforms(NextToken=token, Tags={"a": "b"}),
        lambda: client.list_ml_transforms(NextToken=token, Sort={"Column": "NAME", "SortDirection": "ASCENDING"}),
        lambda: client.get_databases(NextToken=token),
    ]
    for other in others:
        with pytest.raises(client.exceptions.InvalidInputException):
            other()


@pytest.mark.parametrize("place", [0, 5, 20, -3])
def test_a_token_with_one_letter_changed_is_refused(client: GlueClient, shop: Catalog, place: int) -> None:
    for _ in range(2):
        shop.make_transform()
    token = list(client.list_ml_transforms(MaxResults=1)["NextToken"])
    token[place] = "B" if token[place] == "A" else "A"
    with pytest.raises(client.exceptions.InvalidInputException):
        client.list_ml_transforms(NextToken="".join(token))


def test_a_token_of_another_server_is_refused(
    client: GlueClient,
    shop: Catalog,
    open_small_server: Callable[..., Wire],
    make_catalog: Callable[[Wire], Catalog],
) -> None:
    elsewhere = make_catalog(open_small_server())
    for _ in range(2):
        elsewhere.make_transform()
    token = elsewhere.wire.call("ListMLTransforms", {"MaxResults": 1}).members["NextToken"]
    with pytest.raises(client.exceptions.InvalidInputException):
        client.list_ml_transforms(NextToken=token)


def test_a_bound_of_a_filter_is_cut_to_seconds_by_boto3_and_still_means_what_it_says(
    client: GlueClient, shop: Catalog
) -> None:
    transform = shop.make_transform()
    made = client.get_ml_transform(TransformId=transform)["CreatedOn"].astimezone(UTC)
    second = made.replace(microsecond=0)
    cases: list[tuple[dict[str, datetime], bool]] = [
        ({"CreatedAfter": second - timedelta(seconds=1)}, True),
        ({"CreatedAfter": second + timedelta(seconds=1)}, False),
        ({"CreatedBefore": second + timedelta(seconds=1)}, True),
        ({"CreatedBefore": second}, False),
        ({"CreatedAfter": second - timedelta(seconds=1), "CreatedBefore": second + timedelta(seconds=1)}, True),
        ({"LastModifiedAfter": second - timedelta(seconds=1)}, True),
        ({"LastModifiedBefore": second}, False),
    ]
    for bounds, is_told in cases:
        wanted: Any = bounds
        told = client.list_ml_transforms(Filter=wanted)["TransformIds"]
        assert (transform in told) == is_told, bounds


class TestPaginators:
    """What boto3 has paginators for."""

    def test_databases_and_tables(self, client: GlueClient, shop: Catalog) -> None:
        for number in range(ROWS):
            client.create_database(DatabaseInput={"Name": f"more_{number}"})
            client.create_table(DatabaseName=shop.database, TableInput={"Name": f"table_{number}"})
        databases = client.get_paginator("get_databases").paginate(PaginationConfig={"PageSize": 3})
        names = [one["Name"] for page in databases for one in page["DatabaseList"]]
        assert names == sorted([shop.database, *(f"more_{number}" for number in range(ROWS))])
        tables = client.get_paginator("get_tables").paginate(
            DatabaseName=shop.database, Expression="table_*", PaginationConfig={"PageSize": 2}
        )
        assert [one["Name"] for page in tables for one in page["TableList"]] == [f"table_{n}" for n in range(ROWS)]

    def test_partitions(self, client: GlueClient, shop: Catalog) -> None:
        keys: Any = [{"Name": "day", "Type": "int"}]
        client.create_table(DatabaseName=shop.database, TableInput={"Name": "days", "PartitionKeys": keys})
        for start in (0, 100):
            inputs: Any = [{"Values": [str(day)]} for day in range(start, start + 100)]
            client.batch_create_partition(DatabaseName=shop.database, TableName="days", PartitionInputList=inputs)
        paginator = client.get_paginator("get_partitions")
        pages = paginator.paginate(
            DatabaseName=shop.database, TableName="days", Expression="day >= 50", PaginationConfig={"PageSize": 40}
        )
        told = [int(one["Values"][0]) for page in pages for one in page["Partitions"]]
        assert sorted(told) == list(range(50, 200))

    def test_jobs_and_their_runs(self, client: GlueClient, shop: Catalog) -> None:
        transform = shop.make_transform()
        for number in range(ROWS):
            client.create_job(
                Name=f"job_{number}",
                Role="any",
                Command={"Name": "glueetl", "ScriptLocation": "builtin://find_matches"},
                ExecutionProperty={"MaxConcurrentRuns": ROWS},
            )
        jobs = client.get_paginator("get_jobs").paginate(PaginationConfig={"PageSize": 2})
        assert [one["Name"] for page in jobs for one in page["Jobs"]] == [f"job_{number}" for number in range(ROWS)]
        arguments = {"--TransformId": transform, "--OutputPath": "s3://b/k"}
        started = [client.start_job_run(JobName="job_0", Arguments=arguments)["JobRunId"] for _ in range(ROWS)]
        runs = client.get_paginator("get_job_runs").paginate(JobName="job_0", PaginationConfig={"PageSize": 3})
        assert [one["Id"] for page in runs for one in page["JobRuns"]] == started[::-1]
