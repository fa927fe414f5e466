"""The first lines of the report, in words, from the numbers alone."""

from __future__ import annotations

from dataclasses import dataclass

from orbital_train.report import fmt
from orbital_train.report.activity import fleet_shares
from orbital_train.report.results import reference_arm
from orbital_train.report.runs import Arm, Comparison
from orbital_train.report.seeds import paired_loss


@dataclass(frozen=True, kw_only=True)
class Provenance:
    """What is simulated, what is assumed, and what really ran, one line each."""

    simulated: tuple[str, ...]
    assumed: tuple[str, ...]
    real: tuple[str, ...]


def headline(comparison: Comparison) -> tuple[str, ...]:
    """One or two sentences: the result, and where the fleet's time went."""
    main, reference = comparison.arms[0], reference_arm(comparison)
    if reference is None or reference is main:
        first = _alone(main)
    else:
        first = _against(main, reference)
    return first, _time_spent(main, waiting_arm(comparison))


def waiting_arm(comparison: Comparison) -> Arm | None:
    """The arm on the same real windows that waits most, if it waits more than the main arm."""
    real = [arm for arm in comparison.arms if not arm.ideal]
    if not real:
        return None
    most = max(real, key=lambda arm: fleet_shares(arm.runs[0].trace)["waiting"])
    return most if most is not comparison.arms[0] else None


def _alone(arm: Arm) -> str:
    tokens = arm.mean("merged_steps") * arm.runs[0].summary.tokens_per_step_trained
    return (
        f"{arm.name} ended at validation loss {fmt.loss(arm.mean('final_loss'))} after {fmt.count(tokens)} tokens, "
        f"in {fmt.duration(arm.mean('simulated_s'))} of simulated time, {_sent(arm)}{_unfinished(arm)}."
    )


def _sent(arm: Arm) -> str:
    sent = arm.mean("link_bytes")
    return f"with {fmt.data_bytes(sent)} sent over simulated links" if sent else "without a byte sent between nodes"


def _against(main: Arm, reference: Arm) -> str:
    parts = [f"{main.name} ended at validation loss {fmt.loss(main.mean('final_loss'))}"]
    if paired := paired_loss(main, reference):
        interval = "" if paired.half_width is None else f" (± {100 * paired.half_width:.1f}, {paired.seeds} seeds)"
        parts.append(f"{fmt.signed_percent(paired.mean)}{interval} against the fully connected baseline")
    sent, base = main.mean("link_bytes"), reference.mean("link_bytes")
    if sent and base:
        ratio = sent / base
        parts.append(f"with {fmt.times(1 / ratio)} fewer bytes" if ratio < 1 else f"with {fmt.times(ratio)} the bytes")
    else:
        parts.append(_sent(main))
    time = main.mean("simulated_s") / reference.mean("simulated_s")
    return ", ".join([*parts, f"in {fmt.times(time)} the simulated time"]) + _unfinished(main) + "."


def _unfinished(arm: Arm) -> str:
    """What must be said of an arm whose scenario ended before its budget was merged; otherwise nothing."""
    merged = arm.mean("merged_steps") / arm.mean("budget_steps")
    return "" if merged >= 1 else f" (but merged only {fmt.percent(merged)} of its budget before the scenario ended)"


def _time_spent(main: Arm, waiting: Arm | None) -> str:
    shares = fleet_shares(main.runs[0].trace)
    nodes = len(main.runs[0].trace.fleet_nodes)
    who, was = ("Its one node", "was") if nodes == 1 else (f"Its {nodes} nodes", "were")
    told = {
        "training": "trained {} of the time",
        "no_energy": "had no energy to train for {}",
        "waiting": "waited for {}",
        "down": f"{was} down for {{}}",
        "restoring": "waited for {} to be restored",
    }
    *parts, last = (text.format(fmt.percent(shares[kind])) for kind, text in told.items() if kind in shares)
    text = f"{who} {', '.join(parts)} and {last}"
    if waiting is not None:
        waited = fmt.percent(fleet_shares(waiting.runs[0].trace)["waiting"])
        longer = fmt.times(waiting.mean("simulated_s") / main.mean("simulated_s"))
        text += f"; {waiting.name} waited for {waited} and took {longer} as long{_unfinished(waiting)}"
    return text + "."


def assumptions(comparison: Comparison) -> tuple[str, ...]:
    """All assumptions of the comparison and of its runs, each once."""
    lists = [comparison.assumptions, *(r.summary.assumptions for arm in comparison.arms for r in arm.runs)]
    return tuple(dict.fromkeys(line for lines in lists for line in lines))


def notes(comparison: Comparison) -> tuple[str, ...]:
    """All notes of the runs, with the name of their arm, each once."""
    lines = [f"{arm.name}: {note}" for arm in comparison.arms for r in arm.runs for note in r.summary.notes]
    return tuple(dict.fromkeys(lines))


def provenance(comparison: Comparison) -> Provenance:
    """The three columns under the headline, about the main arm."""
    main = comparison.arms[0]
    run = main.runs[0]
    s = run.summary
    exact = "the same recipe gives the same bits" if s.deterministic else "not deterministic: the bits may differ"
    return Provenance(
        simulated=(
            f"flown model: {fmt.count(s.parameters_flown)} parameters, "
            f"{fmt.count(s.tokens_per_step_flown)} tokens a step",
            f"{len(run.trace.fleet_nodes)} training nodes, {fmt.count(len(run.contacts))} contacts, "
            f"{fmt.duration(run.contacts.horizon_s)} of orbits, light and links",
            f"every time, wait and battery level; {fmt.data_bytes(main.mean('link_bytes'))} on the links",
        ),
        assumed=assumptions(comparison),
        real=(
            f"trained model: {fmt.count(s.parameters_trained)} parameters, "
            f"{fmt.count(s.tokens_per_step_trained)} tokens a step",
            "every loss: real optimizer steps and real merges in PyTorch",
            f"{s.workers} worker{'s' if s.workers != 1 else ''} on {s.device}, {fmt.duration(s.wall_s)}, "
            f"{fmt.data_bytes(s.real_bytes)} between workers",
            f"{exact}; digest {s.digest[:16]}",
        ),
    )
