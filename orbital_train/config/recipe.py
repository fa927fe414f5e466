"""The recipe: every key that a user may write, with its meaning, unit, default and bounds.

Frozen, unknown keys forbidden. Units are part of the names. What a key means is said once, here.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Literal, Self

from pydantic import (
    AfterValidator,
    Field,
    PlainValidator,
    StringConstraints,
    ValidationInfo,
    field_validator,
    model_validator,
)

from orbital_train.config.policies import POLICIES
from orbital_train.config.tables.base import LIST, Small, Table
from orbital_train.config.tables.data import Data
from orbital_train.config.tables.models import GPTTable, Model
from orbital_train.config.tables.upsets import Screening, Upsets
from orbital_train.schedule.wire import CodecName

Fraction = Annotated[float, Field(ge=0.0, le=1.0)]
PositiveFraction = Annotated[float, Field(gt=0.0, le=1.0)]
BaselineName = Literal[
    "fully_connected",
    "ideal_diloco",
    "fixed_period_blocking",
    "fixed_period_skipping",
    "single_node",
    "local_then_average",
    "without_replica_flips",
]
if TYPE_CHECKING:
    PolicyName = str
    ArmName = str
else:
    PolicyName = Literal[tuple(POLICIES)]
    ArmName = Literal[PolicyName, BaselineName]

INSTANT = "must be an instant in UTC without quotes, as 2026-03-20T00:00:00Z"


def _in_utc(instant: datetime) -> datetime:
    """An instant without a time zone would mean something else on every machine."""
    if instant.utcoffset() is None or instant.utcoffset() != timedelta(0):
        raise ValueError(INSTANT)
    if not 1957 <= instant.year <= 2050:
        raise ValueError("must be from 1957 to 2050: where the Sun is known")
    return instant.astimezone(UTC)


def _inclination(value: object) -> float | str:
    if isinstance(value, int | float) and not isinstance(value, bool) and 0.0 <= value <= 180.0:
        return float(value)
    if value != "sun_synchronous":
        raise ValueError("must be 0 to 180, or 'sun_synchronous'")
    return "sun_synchronous"


Altitude = Annotated[float, Field(ge=200.0, le=50_000.0)]
SunSynchronousAltitude = Annotated[float, Field(ge=200.0, le=5_900.0)]
Degrees = Annotated[float, Field(ge=0.0, lt=360.0)]
LocalTime = Annotated[float, Field(ge=0.0, lt=24.0)]
Inclination = Annotated[float | Literal["sun_synchronous"], PlainValidator(_inclination)]

# Upper bounds are far above all that has been proposed: they catch slips of the decimal point and of the unit.
Name = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]
Count = Annotated[int, Field(ge=1, le=10_000_000)]
Steps = Annotated[int, Field(ge=1, le=10**12)]
Separation = Annotated[float, Field(ge=0.0, le=100_000.0)]
Distance = Annotated[float, Field(gt=0.0, le=1_000_000.0)]
Gbps = Annotated[float, Field(gt=0.0, le=1_000_000.0)]
Watts = Annotated[float, Field(ge=0.0, le=1e12)]
UpToADay = Annotated[float, Field(ge=0.0, le=86_400.0)]
LearningRate = Annotated[float, Field(gt=0.0, le=1_000.0)]


class Time(Table):
    """When the scenario is flown."""

    start: Annotated[datetime, AfterValidator(_in_utc)]
    horizon_h: Annotated[float, Field(gt=0.0, le=10 * 8_766.0)]
    """How long the contact plan reaches. The run ends earlier when its budget is trained and merged."""


class Choice(Table):
    """Which satellites of a fleet fly: by name, then by plane, then by count."""

    names: Annotated[tuple[str, ...], LIST] = ()
    """Only satellites whose name matches one of these patterns (``*`` and ``?``)."""
    only_planes: Annotated[tuple[Annotated[int, Field(ge=0)], ...], LIST] = ()
    """Only satellites in these planes; those of a file are found from its elements and numbered eastwards from 0."""
    limit: Count | None = None
    """At most so many: the first ones."""
    spread: bool = False
    """With ``limit``: evenly spread over all, instead of the first ones."""

    @field_validator("spread")
    @classmethod
    def _of_a_limit(cls, spread: bool, given: ValidationInfo) -> bool:
        if spread and given.data.get("limit", 0) is None:
            raise ValueError("needs a limit: how many satellites are to be spread over the fleet")
        return spread


class Walker(Choice):
    """Walker constellation i:t/p/f; ``walker_star`` spreads its planes over 180 degrees, ``walker_delta`` over 360."""

    kind: Literal["walker_delta", "walker_star"]
    satellites: Count
    planes: Count = 1
    phasing: Annotated[int, Field(ge=0)] = 0
    altitude_km: Altitude
    """Mean semi-major axis minus 6378.137 km."""
    inclination_deg: Annotated[float, Field(ge=0.0, le=180.0)]
    raan_deg: Degrees = 0.0
    """Right ascension of the first plane's ascending node."""
    minimum_separation_km: Separation = 1.0


class SunSynchronous(Choice):
    """One plane of evenly spaced satellites in a Sun-synchronous orbit."""

    kind: Literal["sun_synchronous"]
    satellites: Count
    altitude_km: SunSynchronousAltitude
    local_time_h: LocalTime
    """Local time of the ascending node, against the mean Sun."""
    minimum_separation_km: Separation = 1.0


class Shell(Table):
    """Planes of evenly spaced satellites; each plane may lie a little higher than the one to its west."""

    planes: Count
    satellites_per_plane: Count
    altitude_km: Altitude
    """Of the first plane."""
    altitude_step_km: Annotated[float, Field(ge=-50_000.0, le=50_000.0)] = 0.0
    """From a plane to the next one east."""
    inclination_deg: Inclination
    """In degrees, or ``"sun_synchronous"``: then that of each plane's altitude."""
    phasing: Annotated[float, Field(ge=0.0, le=10_000_000.0)] = 0.0
    """A plane leads the one to its west by so many slots, divided by the number of planes (Walker's f)."""
    node_spread_deg: Annotated[float, Field(ge=0.0, le=360.0)] = 360.0
    """The nodes of the planes divide this evenly: 360 as a Walker delta, 180 as a star, 0 all at the same node."""
    raan_deg: Degrees | None = None
    """Right ascension of the first plane's ascending node; 0 if that is not given by local time."""
    local_time_h: LocalTime | None = None
    """Local time of the first plane's ascending node."""

    @model_validator(mode="after")
    def _one_node(self) -> Self:
        if self.raan_deg is not None and self.local_time_h is not None:
            raise ValueError("must give raan_deg or local_time_h, and not both")
        return self


class Layered(Choice):
    """Shells of planes at slightly different altitudes; their planes are numbered on from one shell to the next."""

    kind: Literal["layered"]
    shells: Annotated[tuple[Shell, ...], LIST, Field(min_length=1)]
    minimum_separation_km: Separation = 1.0


class Formation(Choice):
    """A cluster in close formation: a disc of satellites in one Sun-synchronous plane, on a square lattice."""

    kind: Literal["cluster"]
    satellites: Count = 81
    """Those nearest to the centre; 81 fill a radius of five lattice units."""
    spacing_m: Annotated[float, Field(gt=0.0, le=10_000.0)] = 100.0
    """Between lattice points at the narrowest, which is radial; direct neighbours are up to twice as far apart."""
    altitude_km: SunSynchronousAltitude
    local_time_h: LocalTime
    """Local time of the ascending node, against the mean Sun."""
    minimum_separation_m: Separation = 50.0


class ElementFile(Choice):
    """Satellites from a file of element sets."""

    kind: Literal["tle", "omm"]
    path: str
    """Relative to the recipe's folder, gzipped if the name ends in .gz; or an http(s) URL. OMM is JSON, CSV or XML."""
    cache_h: Annotated[float, Field(ge=2.0, le=87_660.0)] = 24.0
    """What came from a URL is kept and used while it is younger than this; CelesTrak wants no more than one request in
    two hours."""
    allow_old: bool = False
    """Accept element sets that are more than 30 days from the simulated time."""
    drop_failing: bool = False
    """Leave out satellites that decay, or that SGP4 gives up, before the horizon, instead of refusing the fleet."""


Fleet = Annotated[Walker | SunSynchronous | Layered | Formation | ElementFile, Field(discriminator="kind")]


class Site(Table):
    """A ground site: it relays messages and may be where they are merged; it trains nothing."""

    name: Name
    latitude_deg: Annotated[float, Field(ge=-90.0, le=90.0)]
    longitude_deg: Annotated[float, Field(ge=-180.0, le=360.0)]
    altitude_m: Annotated[float, Field(ge=-500.0, le=9000.0)] = 0.0
    terminals: Annotated[int, Field(ge=1, le=64)] = 1
    medium: Literal["optical", "radio"] = "optical"
    """Lasers are blinded by the Sun and stopped by clouds; radio is neither."""
    mask_deg: Annotated[float, Field(ge=0.0, lt=90.0)] | None = None
    """Lowest elevation; ``links.ground_mask_deg`` if not given."""
    rate_gbps: Gbps | None = None
    """From a satellite to the site; ``links.ground_rate_gbps`` if not given."""
    uplink_gbps: Gbps | None = None
    """From the site to a satellite; as down if not given."""
    cloud_fraction: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.0
    """Part of the time in which clouds stop an optical site's links; drawn with ``seeds.clouds``."""
    cloudy_h: Annotated[float, Field(ge=0.01, le=8_766.0)] = 6.0
    """Mean length of a cloudy spell."""

    @field_validator("cloud_fraction")
    @classmethod
    def _lasers_only(cls, fraction: float, info: ValidationInfo) -> float:
        if fraction > 0 and info.data.get("medium") == "radio":
            raise ValueError("clouds stop only optical sites; leave it out")
        return fraction


class Light(Table):
    """The shadow of the Earth."""

    shadow_margin_km: Annotated[float, Field(ge=0.0, lt=100.0)] = 0.0
    """Height up to which the atmosphere is taken to be opaque."""


class FieldOfRegard(Table):
    """Where one terminal can point: a cone on a satellite that flies level."""

    azimuth_deg: Annotated[float, Field(ge=0.0, lt=360.0)]
    """Of its middle: 0 is fore, 90 starboard, 180 aft, 270 port."""
    elevation_deg: Annotated[float, Field(ge=-90.0, le=90.0)] = 0.0
    """Of its middle, above the local horizontal."""
    half_angle_deg: Annotated[float, Field(gt=0.0, le=180.0)]


class Photons(Table):
    """A laser link's budget: the rate is what the received photons are good for. The defaults give 121 Gbit/s at
    5,400 km."""

    transmit_w: Annotated[float, Field(gt=0.0, le=10_000.0)] = 5.0
    """Optical power that leaves the terminal."""
    aperture_cm: Annotated[float, Field(gt=0.0, le=1_000.0)] = 10.0
    """Diameter of the transmitter's and the receiver's aperture."""
    wavelength_nm: Annotated[float, Field(ge=100.0, le=20_000.0)] = 1550.0
    loss_db: Annotated[float, Field(ge=0.0, le=200.0)] = 6.0
    """Of the whole system: optics, pointing, implementation."""
    photons_per_bit: Annotated[float, Field(ge=0.01, le=1e9)] = 71.0


class Links(Table):
    """Laser links between satellites, and links to ground sites."""

    topology: Literal["ring", "grid", "nearest", "all_visible", "explicit", "ground_relay"] = "all_visible"
    """Pairs that may link: neighbours in their plane; also in adjacent planes (in a cluster, those beside each other);
    the nearest ones at the time; any; those in ``pairs``; none, so that satellites meet through ground sites only."""
    pairs: Annotated[tuple[Annotated[tuple[str, str], LIST], ...], LIST] = ()
    """Names of the satellites that may link; with ``explicit``."""
    neighbours: Annotated[int, Field(ge=1, le=64)] = 4
    """Links that each satellite keeps, as far as its terminals go; with ``nearest``."""
    minimum_life_s: UpToADay = 60.0
    """Data must flow for so long, else a link is not made."""
    rate_gbps: Gbps = 100.0
    """What the modem carries in each direction; less where ``rate_table`` or ``photons`` says so."""
    rate_table: Annotated[tuple[Annotated[tuple[Distance, Gbps], LIST], ...], LIST] = ()
    """Rows of [range in km, Gbit/s]: the rate up to that range, in steps."""
    photons: Photons | None = None
    """The rate by range from a laser's link budget."""
    maximum_range_km: Distance = 5_400.0
    grazing_altitude_km: Annotated[float, Field(ge=0.0, le=200.0)] = 80.0
    terminals: Annotated[int, Field(ge=1, le=64)] = 4
    """Laser terminals per satellite; a terminal for ground sites comes on top."""
    fields_of_regard: Annotated[tuple[FieldOfRegard, ...], LIST] = ()
    """Where each of these terminals can point, one for each; without, they point anywhere."""
    acquisition_s: UpToADay = 30.0
    maximum_rate_deg_s: Annotated[float, Field(gt=0.0, le=360.0)] = 0.1
    """Angular rate of the line of sight that a terminal can track."""
    sun_exclusion_deg: Annotated[float, Field(ge=0.0, lt=90.0)] = 5.0
    """A laser receiver that looks closer to the Sun than this hears nothing, and the link ends."""
    ground_mask_deg: Annotated[float, Field(ge=0.0, lt=90.0)] | None = None
    """Lowest elevation at ground sites; 20 for optical and 10 for radio sites if not given."""
    ground_rate_gbps: Gbps = 1.8
    terrestrial_gbps: Gbps | None = None
    """Between any two ground sites, over a network on the ground that is always up; without, they have none."""
    plan: str | None = None
    """Contact plan to fly in place of computed links, relative to the recipe's folder: ``.parquet``, ``.json`` (HDTN),
    ``.ion`` or ``.ionrc`` (ION). The other keys of this table then say nothing."""


class Radiator(Table):
    """A flat radiator in steady state, at one temperature; it limits what training may draw."""

    area_m2: Annotated[float, Field(gt=0.0, le=1e9)]
    """Of one face."""
    faces: Annotated[int, Field(ge=1, le=2)] = 2
    """How many of its faces radiate to space."""
    emissivity: PositiveFraction = 0.85
    temperature_c: Annotated[float, Field(gt=-273.15, le=500.0)] = 20.0
    absorbed_w: Watts = 0.0
    """Heat that it takes up from the Sun and the Earth."""


class Power(Table):
    """Array, battery and loads of one satellite; every satellite of the fleet has the same."""

    array_m2: Annotated[float, Field(ge=0.0, le=1e9)]
    array_efficiency: PositiveFraction = 0.3
    array_mount: Literal["tracking", "zenith", "orbit_normal"] = "tracking"
    """Where the array faces: the Sun; away from the Earth; along the orbit's normal, on the side of the Sun."""
    battery_wh: Annotated[float, Field(ge=1.0, le=1e12)]
    depth_of_discharge: PositiveFraction = 0.3
    resume_fraction: PositiveFraction = 0.75
    """State of charge from which training starts again after the battery ran low."""
    charge_efficiency: PositiveFraction = 0.95
    discharge_efficiency: PositiveFraction = 0.95
    idle_w: Watts
    train_w: Watts
    """On top of idle, without a cap."""
    train_cap_w: Annotated[float, Field(gt=0.0, le=1e12)] | None = None
    """Cap of the training load: the accelerator lowers its clock, and steps take longer."""
    train_static_fraction: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.3
    """Part of ``train_w`` that does not fall with the clock; the rest falls with its cube."""
    radiator: Radiator | None = None
    """Without one, heat limits nothing."""
    transmit_w: Watts = 0.0
    """On top of idle, for each message that is being sent."""


class WorkloadTable(Table):
    """The model that *flies*: it sets how long a step takes and how large a message is. Give ``step_s``, or
    ``device_tflops`` and ``mfu``; of a device that is not throttled (``power.train_cap_w``, ``power.radiator``)."""

    parameters: Annotated[float, Field(ge=1.0, le=1e18)]
    tokens_per_step: Steps
    """Of one node and inner step."""
    codec: CodecName = "fp32"
    """Of an outer gradient on the wire, in the training as in the simulation, where it sets the size of a message. Bits
    per parameter: ``fp32`` 32, ``bf16`` 16, ``fp8`` and ``int8`` 8.06, ``int4`` 4.25, ``topk1`` 0.32, ``topk2`` 0.64,
    ``topk3`` 0.96 (the largest 1, 2 or 3 %); those below 16 with error feedback. Parameters that are sent are bf16."""
    partial_sums: Literal["encoded", "wide"] = "encoded"
    """Sums of several outer gradients on their way: rounded and sized like one, or exact, and then as large as all
    that they add up, or as float32 where that is less."""
    device_tflops: Annotated[float, Field(gt=0.0, le=1e9)] | None = None
    mfu: PositiveFraction | None = None
    """Model FLOP/s utilisation."""
    step_s: Annotated[float, Field(ge=1e-6, le=31_557_600.0)] | None = None


class Schedule(Table):
    """When to synchronise. Which keys matter depends on the policy."""

    policy: PolicyName
    budget_steps: Steps
    """Inner steps of the whole fleet together; then the run drains and ends."""
    evaluations: Annotated[int, Field(ge=1, le=1_000_000)] = 20
    """Validations of the global model, evenly spaced in merged steps, beside the first and the last."""
    inner_steps: Steps = 30
    """H of a node between two contributions. ``link_aware``, and within groups ``hierarchical``: the fewest steps of a
    contribution. ``streaming`` and ``gossip``: between two of the same fragment. ``asynchronous``: of the fastest
    node."""
    between_steps: Steps | None = None
    """``hierarchical``: between two contributions of a group to the global model, of each of its nodes on average; five
    times ``inner_steps`` if not given."""
    fragments: Annotated[int, Field(ge=1, le=1_000_000)] | None = None
    """``link_aware``, ``streaming`` and ``gossip``: parts of the model that are synchronised by themselves, each an
    equal share of the message. 1 if not given, but for ``streaming`` 4 (no more than ``inner_steps``)."""
    weights: Literal["tokens", "uniform"] = "tokens"
    """What a contribution counts. Every node takes the same tokens in a step, so that weights by tokens^2 / steps, as
    proposed for ``quorum``, are those by tokens."""
    home: str | None = None
    """Node or site at which contributions meet; without, the first of the ground sites that hold the model, or else the
    first satellite. ``asynchronous``: it alone, instead of all such ground sites. ``link_aware``, ``fixed_period``,
    blocking, and ``hierarchical`` choose for themselves; ``gossip`` has none."""
    holders: Literal["fleet", "ground_sites"] | None = None
    """Who holds the global model. ``fleet``: all satellites; each is sent every merge's average, and as a version is
    made of the one before, none may be missed. ``ground_sites``: they alone (of ``streaming`` and ``quorum``, one of
    them), and satellites are sent the newest parameters: right where a satellite hears nothing for hours. If not given:
    ground sites where satellites meet only there (``links.topology``), else the fleet. ``fixed_period``,
    ``local_then_average`` and ``hierarchical``: always the fleet. ``gossip``: there is none. ``asynchronous``: never
    all of it, but its ``home``."""
    form: Literal["blocking", "skipping"] = "blocking"
    """``fixed_period``: wait for every node, or for ``timeout_s``."""
    timeout_s: Annotated[float, Field(ge=0.0, le=31_557_600.0)] = 600.0
    """``fixed_period`` that skips, and ``streaming``: from a round's first contribution to its merge, at most."""
    overlap_steps: Annotated[int, Field(ge=0, le=1_000_000)] = 5
    """``streaming``: tau; a result is adopted so many inner steps after its snapshot, or later if it comes later."""
    alpha: PositiveFraction = 0.5
    """``streaming``: weight of a result that is adopted; the node's own parameters weigh the rest."""
    quorum: Annotated[int, Field(ge=1, le=1_000_000)] | None = None
    """``quorum``: K, contributions that a merge waits for; half of the fleet, rounded up, if not given."""
    grace: Annotated[float, Field(ge=0.0, le=1_000.0)] = 0.5
    """``quorum``: how long a merge waits for more, as a share of the usual time from the first to the K-th."""
    adoption: Literal["keep", "replace"] = "keep"
    """``link_aware``: train on while a merge is under way and keep that progress, or wait."""
    max_staleness: Steps = 8
    """``link_aware`` and, within groups, ``hierarchical``: versions that a node may be behind before a round waits for
    it. The next two keys are for both too."""
    drift_steps: Annotated[float, Field(gt=0.0, le=1e12)] = 500.0
    """``link_aware``: inner steps after which further ones count half."""
    lookahead_h: Annotated[float, Field(gt=0.0, le=87_660.0)] = 6.0
    """``link_aware``: how far ahead a round is planned."""

    @field_validator("fragments")
    @classmethod
    def _one_a_turn(cls, fragments: int | None, info: ValidationInfo) -> int | None:
        most = info.data.get("inner_steps")
        if info.data.get("policy") == "streaming" and fragments and most and fragments > most:
            raise ValueError(
                f"must be at most inner_steps = {most}: a node sends one every inner_steps / fragments steps"
            )
        return fragments


def _after_start(end_h: float, info: ValidationInfo) -> float:
    start_h = info.data.get("start_h", 0.0)
    if end_h <= start_h:
        raise ValueError(f"must be after start_h = {start_h:g}")
    return end_h


Hours = Annotated[float, Field(ge=0.0, le=87_660.0)]
EndHours = Annotated[float, Field(le=87_660.0), AfterValidator(_after_start)]
Minutes = Annotated[float, Field(ge=0.01, le=525_960.0)]
Slower = Annotated[float, Field(ge=1.0, le=1_000.0)]


class ListedOutage(Table):
    """A satellite or ground site is down: it neither trains nor sends nor hears."""

    node: str
    """Its name."""
    start_h: Hours
    """Hours after ``time.start``."""
    end_h: EndHours | None = None
    """For ever if not given."""
    loses_state: bool = False
    """A satellite loses its on-board store too; from ``start_h`` = 0 on, this is a node that joins late."""


class ListedLinkOutage(Table):
    """Two nodes cannot send to each other."""

    a: str
    """Name of a satellite or ground site."""
    b: str | None = None
    """Name of the other one; all links of ``a`` if not given."""
    start_h: Hours
    end_h: EndHours
    """Data flows again at once: the time of a new acquisition is not added."""

    @field_validator("b")
    @classmethod
    def _another_node(cls, b: str | None, info: ValidationInfo) -> str | None:
        if b is not None and b == info.data.get("a"):
            raise ValueError("must be another node than a")
        return b


class ListedSlowDown(Table):
    """A satellite trains more slowly: its chips are too hot."""

    node: str
    start_h: Hours
    end_h: EndHours
    factor: Slower
    """An inner step takes so many times as long."""


Rate = Annotated[float, Field(ge=0.0, le=60.0)]


class Faults(Table):
    """What fails, beyond what a policy can foresee: at random with ``seeds.faults``, and as listed. Nothing by default.

    Rates are for the time in which a satellite is up or a link is not out. Clouds are a key of ``ground_sites``.
    """

    outages_per_node_hour: Rate = 0.0
    """A satellite resets and is down for a while. A chip in orbit does so once in about three years (4e-5)."""
    outage_min: Minutes = 10.0
    """Length of such an outage."""
    state_loss_fraction: Fraction = 0.0
    """Part of these outages in which the on-board store is lost too."""
    losses_per_node_year: Annotated[float, Field(ge=0.0, le=10_000.0)] = 0.0
    """A satellite is lost for ever."""
    late_fraction: Fraction = 0.0
    """Probability of a satellite to join late."""
    late_within_h: Annotated[float, Field(ge=0.01, le=87_660.0)] = 6.0
    """Those that do join at any time until then."""
    link_outages_per_link_hour: Rate = 0.0
    """A link fails, and has to be acquired again."""
    link_outage_min: Minutes = 5.0
    """Length of such an outage, without the acquisition."""
    missed_acquisition_fraction: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.0
    """Part of the acquisitions that fail, and are tried again."""
    slow_downs_per_node_hour: Rate = 0.0
    """A satellite's chips get too hot, and it trains more slowly for a while."""
    slow_down_min: Minutes = 20.0
    """Length of such a time."""
    slow_down_factor: Slower = 2.0
    """An inner step then takes so many times as long."""
    lengths: Literal["fixed", "exponential"] = "fixed"
    """All three lengths are always the same, or exponentially distributed with this mean."""
    outage: Annotated[tuple[ListedOutage, ...], LIST] = ()
    link_outage: Annotated[tuple[ListedLinkOutage, ...], LIST] = ()
    slow_down: Annotated[tuple[ListedSlowDown, ...], LIST] = ()
    upsets: Upsets = Upsets()


Beta = Annotated[float, Field(ge=0.0, lt=1.0)]
Number = int | float
Argument = bool | Number | str | Annotated[tuple[Number, ...], LIST]


class Inner(Table):
    """The inner optimizer; its learning rate warms up, then follows a schedule over the tokens of the budget."""

    optimizer: str = "AdamW"
    """A class of ``torch.optim`` by its name. ``Muon`` is for matrices but embeddings; AdamW takes the rest."""
    arguments: dict[str, Argument] = Field(default_factory=dict)
    """Of that class, beside those that are keys here. ``weight_decay`` is applied to matrices only, here too."""
    lr: LearningRate = 4e-3
    schedule: Literal["cosine", "linear", "wsd", "constant"] = "cosine"
    """How the rate falls after the warm-up; ``wsd``: not before the last ``decay_fraction`` of the budget."""
    min_lr_fraction: Fraction = 0.1
    """What is left of ``lr`` at the end."""
    warmup_fraction: Fraction = 0.05
    decay_fraction: PositiveFraction = 0.2
    """``wsd``."""
    rewarm_steps: Annotated[int, Field(ge=0, le=1_000_000)] = 5
    """Over these first steps the learning rate of a node rises again that lost its state and began anew."""
    beta1: Beta = 0.9
    """``AdamW``, as ``beta2``; those of other optimizers stand in ``arguments``."""
    beta2: Beta = 0.99
    weight_decay: Annotated[float, Field(ge=0.0, le=1_000.0)] = 0.1
    """``AdamW`` and ``Muon``; that of other optimizers stands in ``arguments``."""
    clip_norm: Annotated[float, Field(ge=0.0, le=1e12)] = 1.0
    """0 turns clipping off."""
    batch_size: Annotated[int, Field(ge=1, le=10_000_000)] = 8
    """Examples, as sequences of tokens, per node and inner step."""
    micro_batches: Annotated[int, Field(ge=1, le=10_000_000)] = 1
    """A batch goes through the model in so many parts, one after the other, to save memory."""
    dtype: Literal["float32", "bfloat16"] = "float32"
    """Of the forward and backward pass; parameters stay float32."""


class Outer(Table):
    """The outer optimizer, and how contributions are averaged; ``lr = 1, momentum = 0`` is plain averaging."""

    optimizer: Literal["sgd", "adamw"] = "sgd"
    lr: LearningRate = 0.7
    momentum: Beta = 0.9
    """``sgd``."""
    nesterov: bool = True
    """``sgd``, but not in gossip."""
    pull: Annotated[float, Field(gt=0.0, lt=2.0)] | None = None
    """``gossip``, which takes ``sgd``: how far a node is pulled to the mean of the two that mix, in a step of its
    momentum. Below 2 (1 - momentum^2), or nodes drive each other apart; half of that if not given."""

    delay_merges: Annotated[int, Field(ge=1, le=1_000_000)] | None = None
    """``sgd``: so many merges make one outer step, and momentum comes with the last: Delayed Nesterov. If not given 1;
    for ``asynchronous``, whose merges hold one contribution each, the number of satellites."""
    beta1: Beta = 0.9
    """``adamw``."""
    beta2: Beta = 0.95
    """``adamw``."""
    eps: Annotated[float, Field(gt=0.0, le=1.0)] = 0.1
    """``adamw``; as large as DiLoCo's, so that the small elements of an outer gradient are not blown up."""
    weight_decay: Annotated[float, Field(ge=0.0, le=1_000.0)] = 0.0
    """``adamw``."""
    merging: Literal["mean", "trimmed_mean", "median"] = "mean"
    """Of contributions: their weighted mean; or, element by element and without weights, the mean without the largest
    and smallest ones, or the median. Not with ``link_aware``, which adds contributions up on their way."""
    trim_fraction: Annotated[float, Field(ge=0.0, lt=0.5)] = 0.2
    """``trimmed_mean``: part of the contributions that is left out at either end."""
    clip_norm: Annotated[float, Field(ge=0.0, le=1e12)] = 0.0
    """Largest norm of a contribution; what is above is scaled down to it. 0 turns it off."""

    @field_validator("pull")
    @classmethod
    def _together(cls, pull: float | None, info: ValidationInfo) -> float | None:
        limit = 2 * (1 - info.data.get("momentum", 0.0) ** 2)
        if pull is not None and pull >= limit:
            raise ValueError(f"must be below 2 (1 - momentum^2) = {limit:g}, or nodes drive each other apart")
        return pull


class Seeds(Table):
    """Kept apart, so that arms of a comparison can be paired."""

    init: Annotated[int, Field(ge=0, lt=2**32)] = 0
    data: Annotated[int, Field(ge=0, lt=2**32)] = 0
    clouds: Annotated[int, Field(ge=0, lt=2**32)] = 0
    """Of the clouds over optical sites; all arms and repetitions share them."""
    faults: Annotated[int, Field(ge=0, lt=2**32)] = 0
    """Of the faults; all arms and repetitions share them."""
    pairs: Annotated[int, Field(ge=0, lt=2**32)] = 0
    """Of the pairs that ``gossip`` forms."""


class Cluster(Table):
    """What runs the training, here on Earth."""

    workers: Small = 1
    """Each with one device."""
    devices_per_node: Small = 1
    """A satellite is trained by so many workers together. Part of a run's identity: other numbers give other bits."""
    within_node: Literal["data_parallel", "fsdp2"] = "data_parallel"
    """How they share the work. Each computes a part of every batch. The outer state is divided among them; with
    ``fsdp2`` parameters, gradients and the state of the inner optimizer are too."""
    threads_per_worker: Small = 1
    """Part of a run's identity: other numbers of threads give other bits."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    deterministic: bool = True
    address: str | None = None
    """Of a running Ray cluster, as host:port, or ``auto``; none: one is started on this machine for the run."""
    on_worker_loss: Literal["replay", "dropout"] = "replay"
    """When a worker is lost: ``replay``: all go back to the last copy of the state, another worker takes its place, and
    not a bit of the result changes. ``dropout``: the others go on; the nodes of the lost one fail, what they had not
    given counts for nothing, and they rejoin when another worker is there. The run can be repeated from its faults."""
    copy_every_s: Annotated[float, Field(gt=0.0, le=31_557_600.0)] = 10.0
    """Time between copies of the run's state in memory, from which it goes on when a worker is lost. It may be longer:
    copying takes a hundredth of the time at most."""
    checkpoint_every_s: Annotated[float, Field(gt=0.0, le=31_557_600.0)] = 60.0
    """Time between checkpoints on the disk, from which ``--resume`` goes on."""
    checkpoint_every_merges: Annotated[int, Field(ge=1, le=1_000_000_000)] | None = None
    """A checkpoint also after so many merges of the trace, where that comes before its time."""
    keep_checkpoints: Small = 2
    """The last ones, which stay; the others are removed."""
    keep_every_h: Annotated[float, Field(gt=0.0, le=87_660.0)] | None = None
    """Of the others one for every so many hours of wall time stays too, for good."""
    checkpoint_url: Annotated[str, Field(pattern=r"^[a-z0-9+]+://.+")] | None = None
    """Where checkpoints are kept, below it by the name of the run directory: a URL that fsspec knows, as
    ``s3://bucket/path``; none: in the run directory."""


class Arm(Table):
    """Learning rates of one arm of a comparison, where they differ from the recipe's."""

    inner_lr: LearningRate | None = None
    outer_lr: LearningRate | None = None


class Compare(Table):
    """What ``compare`` runs beside the recipe."""

    baselines: Annotated[tuple[BaselineName, ...], LIST] = (
        "fully_connected",
        "ideal_diloco",
        "fixed_period_blocking",
        "fixed_period_skipping",
    )
    seeds: Small = 1
    """Paired repetitions: seed k adds k to ``seeds.init`` and ``seeds.data``, in all arms."""
    arms: dict[ArmName, Arm] = Field(default_factory=dict)
    """Tuned learning rates by arm; the recipe's own arm goes by the name of its policy."""
    tuning: str | None = None
    """JSON file, relative to the recipe's folder, with the grid that the rates were chosen from, for the report."""


class StagingTable(Table):
    """What is brought up to the satellites before they train, and down afterwards, over the links of the plan."""

    sources: Annotated[tuple[str, ...], LIST, Field(min_length=1)]
    """Ground sites or satellites that have the first model and all data at the start."""
    data_gb: Annotated[float, Field(ge=0.0, le=1e9)] = 0.0
    """Training data of each satellite."""
    deliver_to: Annotated[tuple[str, ...], LIST] = ()
    """Ground sites of which one is to get the final model; if none is given it stays in orbit."""


class SkyRecipe(Table):
    """A fleet and its sky. A recipe with none of the other tables: its windows are planned, and nothing more."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9_.-]+$")]
    description: str
    """One line."""
    assumptions: Annotated[tuple[str, ...], LIST] = ()
    """What is not public or not measured, in the report word for word."""
    time: Time
    fleet: Fleet
    ground_sites: Annotated[tuple[Site, ...], LIST] = ()
    ground_site_file: str | None = None
    """More of them: a CSV file, relative to the recipe's folder, whose columns are the keys of ``ground_sites``.
    It is read with the recipe; a recipe that is written out has its rows among ``ground_sites``."""
    light: Light = Light()
    links: Links = Links()
    seeds: Seeds = Seeds()


class Recipe(SkyRecipe):
    """A whole recipe: what flies, and what it trains."""

    power: Power
    workload: WorkloadTable
    schedule: Schedule
    faults: Faults = Faults()
    staging: StagingTable | None = None
    model: Model = GPTTable()
    data: Data
    inner: Inner = Inner()
    outer: Outer = Outer()
    screening: Screening = Screening()
    cluster: Cluster = Cluster()
    compare: Compare = Compare()
