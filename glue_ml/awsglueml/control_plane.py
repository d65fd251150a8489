"""What a script asks the control plane of a transform, and where its labels and models lie."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from glue_ml.domain.job import JobSpec, TaskType
from glue_ml.domain.run_spec import RunSettings, locate_transform
from glue_ml.errors import AccessError, GlueMLError, InputError, NotFoundError, NotReadyError, UnavailableError
from glue_ml.storage import explain_aws_failure

STORAGE_VARIABLE = "GLUE_ML_STORAGE_URI"

_DENIED = ("AccessDenied", "ExpiredToken", "InvalidClientTokenId", "InvalidSignature", "MissingAuthenticationToken",
           "SignatureDoesNotMatch", "UnrecognizedClient")  # fmt: skip


@dataclass(frozen=True)
class TaughtTransform:
    """A transform that is ready: what its jobs are told, and the columns of its tables in their order."""

    spec: JobSpec
    columns: tuple[str, ...]


def fetch_transform(transform_id: str) -> TaughtTransform:
    """Ask the control plane (AWS_ENDPOINT_URL_GLUE, else what boto3 is configured for) for a transform.

    Raises InputError, NotFoundError, NotReadyError, AccessError or UnavailableError.
    """
    root = os.environ.get(STORAGE_VARIABLE)
    if not root:
        raise InputError(
            f"{STORAGE_VARIABLE} is not set, so the labels of {transform_id} cannot be found; set it to the "
            "storage_uri of the Glue ML server, such as s3://bucket/glue-ml"
        )
    return read_answer(_ask(transform_id), storage_uri=root)


def read_answer(answer: Mapping[str, Any], *, storage_uri: str) -> TaughtTransform:
    """The transform that an answer of GetMLTransform describes. Raises NotReadyError."""
    transform_id = str(answer["TransformId"])
    if answer.get("Status") != "READY":
        raise NotReadyError(
            f"The transform {transform_id} is {answer.get('Status')}: it needs labels with at least one match and one "
            "non-match. Generate labelling sets, label them and import them (StartImportLabelsTaskRun) first"
        )
    parameters = answer["Parameters"]["FindMatchesParameters"]
    folder = locate_transform(transform_id, RunSettings(storage_uri))
    spec = JobSpec(
        TaskType.FIND_MATCHES,
        transform_id,
        parameters["PrimaryKeyColumnName"],
        precision_recall_tradeoff=parameters.get("PrecisionRecallTradeoff"),
        accuracy_cost_tradeoff=parameters.get("AccuracyCostTradeoff"),
        enforce_provided_labels=bool(parameters.get("EnforceProvidedLabels")),
        labels_uri=f"{folder}/labels",
        models_uri=f"{folder}/models",
    )
    return TaughtTransform(spec, tuple(column["Name"] for column in answer.get("Schema", ())))


def _ask(transform_id: str) -> Mapping[str, Any]:
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        answer: Mapping[str, Any] = _open_client().get_ml_transform(TransformId=transform_id)
    except ClientError as error:
        raise _explain_refusal(transform_id, error) from error
    except BotoCoreError as error:
        raise explain_aws_failure(f"the transform {transform_id} cannot be looked up", error) from error
    return answer


def _open_client() -> Any:
    """A client for the control plane: with the key that it gave its runs, else with what boto3 finds."""
    import boto3

    endpoint = os.environ.get("AWS_ENDPOINT_URL_GLUE") or os.environ.get("AWS_ENDPOINT_URL")
    key, secret = (os.environ.get(f"GLUE_ML_{name}") for name in ("ACCESS_KEY_ID", "SECRET_ACCESS_KEY"))
    known = endpoint and key and secret
    session = boto3.Session(key, secret) if known else boto3.Session()
    region = os.environ.get("AWS_REGION") or session.region_name or ("us-east-1" if endpoint else None)
    return session.client("glue", endpoint_url=endpoint, region_name=region)


def _explain_refusal(transform_id: str, error: Any) -> GlueMLError:
    answer = error.response.get("Error", {})
    code, text = str(answer.get("Code", "")), str(answer.get("Message", ""))
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    if code.startswith("EntityNotFound"):
        return NotFoundError(
            f"There is no transform {transform_id}; look its id up with ListMLTransforms, and check that "
            "AWS_ENDPOINT_URL_GLUE names the server that it was created on"
        )
    if code.startswith(_DENIED) or status in (401, 403):
        return AccessError(f"the transform {transform_id} may not be looked up with this access key: {code} {text}")
    if code.startswith("Throttling") or status >= 500:
        return UnavailableError(f"the transform {transform_id} cannot be looked up now: {code} {text}")
    return InputError(f"the control plane refused to look up the transform {transform_id}: {code} {text}")
