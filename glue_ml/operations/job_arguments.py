"""The arguments of a job run: put together from the job and the request, and checked where we know what they mean."""

from __future__ import annotations

import re
from collections.abc import Mapping

from glue_ml.domain.job import BLOCKING_PLANS, COMPONENT_METHODS
from glue_ml.domain.run_spec import OUTPUT_FORMATS, is_link_count
from glue_ml.errors import InvalidInputError
from glue_ml.operations.context import Context, Members
from glue_ml.operations.paths import check_path

#: How scripts spell the argument that names their transform; the built-in one takes the first.
TRANSFORM_ARGUMENTS = ("--TransformId", "--transformId", "--transform_id")

_TRANSFORM_ID = re.compile(r"[\w-]{1,255}", re.ASCII)


def merge_arguments(definition: Members, given: Mapping[str, str]) -> dict[str, str]:
    """The job's DefaultArguments, over them the run's, and over all the job's NonOverridableArguments."""
    defaults, fixed = definition.get("DefaultArguments") or {}, definition.get("NonOverridableArguments") or {}
    return {**defaults, **given, **fixed}


def find_transform_id(arguments: Mapping[str, str]) -> str | None:
    """The transform that a run names, if it names what can be one's id."""
    named = (arguments[name] for name in TRANSFORM_ARGUMENTS if name in arguments)
    return next((text for text in named if _TRANSFORM_ID.fullmatch(text)), None)


def check_find_matches(context: Context, arguments: Mapping[str, str]) -> None:
    """Raise InvalidInputError, naming the argument, if builtin://find_matches cannot run with these.

    Arguments that it does not know are for others, such as --job-language, and are left alone.
    """
    for name in ("--TransformId", "--OutputPath"):
        if not arguments.get(name):
            raise InvalidInputError(f"The argument {name} is missing. builtin://find_matches needs it.")
    check_path(context, "argument --OutputPath", arguments["--OutputPath"])
    if "--ExplanationPath" in arguments:
        check_path(context, "argument --ExplanationPath", arguments["--ExplanationPath"])
        if "--ExistingMatchesPath" in arguments:
            raise InvalidInputError("The argument --ExplanationPath cannot be used with --ExistingMatchesPath.")
    _check_links(arguments)
    _check_state(context, arguments)
    if "--ExistingMatchesPath" in arguments:
        check_path(context, "argument --ExistingMatchesPath", arguments["--ExistingMatchesPath"])
    elif "--ExistingMatchesFormat" in arguments:
        raise InvalidInputError("The argument --ExistingMatchesFormat needs --ExistingMatchesPath.")
    for name in ("--OutputFormat", "--ExistingMatchesFormat"):
        _check_choice(arguments, name, OUTPUT_FORMATS)
    _check_choice(arguments, "--ComputeMatchConfidenceScores", ("true", "false"))
    _check_choice(arguments, "--ConnectedComponents", COMPONENT_METHODS)
    _check_choice(arguments, "--BlockingPlan", BLOCKING_PLANS)


def _check_state(context: Context, arguments: Mapping[str, str]) -> None:
    if "--MatchStatePath" in arguments:
        check_path(context, "argument --MatchStatePath", arguments["--MatchStatePath"])
        if "--ExplanationPath" in arguments:
            raise InvalidInputError("The argument --ExplanationPath cannot be used with --MatchStatePath.")
    _check_choice(arguments, "--MergeMatches", ("true", "false"))
    if arguments.get("--MergeMatches", "false").lower() == "true":
        places = [arguments.get(name) for name in ("--MatchStatePath", "--ExistingMatchesPath", "--OutputPath")]
        if places[0] is None or places[1] != places[2]:
            raise InvalidInputError(
                "The argument --MergeMatches needs --MatchStatePath, and --ExistingMatchesPath and --OutputPath that "
                "name one table."
            )


def _check_links(arguments: Mapping[str, str]) -> None:
    chosen = arguments.get("--ExplainedLinks")
    if chosen is None:
        return
    if "--ExplanationPath" not in arguments:
        raise InvalidInputError("The argument --ExplainedLinks needs --ExplanationPath.")
    if not is_link_count(chosen):
        raise InvalidInputError(
            f"The argument --ExplainedLinks is {chosen[:100]!r}. Use a whole number from 1 to 1000000."
        )


def _check_choice(arguments: Mapping[str, str], name: str, choices: tuple[str, ...]) -> None:
    chosen = arguments.get(name)
    if chosen is not None and chosen.lower() not in choices:
        raise InvalidInputError(f"The argument {name} is {chosen[:100]!r}. Use one of: {', '.join(choices)}.")
