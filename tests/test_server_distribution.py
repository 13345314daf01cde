"""Our histogram counts as Prometheus' own does, one by one or many at once."""

import threading

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Histogram

from server.distribution import Distribution

BOUNDS = (1e-5, 0.1, 0.5, 0.999, 2.0)
AMOUNTS = st.one_of(st.sampled_from(BOUNDS), st.floats(0, 10, width=32))


def samples(registry: CollectorRegistry) -> dict[tuple[str, str], float]:
    return {
        (sample.name.removeprefix("x_"), sample.labels.get("le", "")): sample.value
        for family in registry.collect()
        for sample in family.samples
        if not sample.name.endswith("_created")
    }


@given(
    st.lists(AMOUNTS, max_size=20), st.lists(AMOUNTS, max_size=20), st.sampled_from((1, 20, 300))
)
def test_a_distribution_counts_as_a_histogram(
    singles: list[float], many: list[float], times: int
) -> None:
    batch = np.repeat(np.array(many, dtype=np.float32), times)  # few, some hundreds, thousands
    theirs, ours = CollectorRegistry(), CollectorRegistry()
    histogram = Histogram("x", "x", ("m",), buckets=BOUNDS, registry=theirs).labels("m")
    distribution = Distribution("x", "x", ("m",), buckets=BOUNDS, registry=ours).labels("m")
    for amount in [*singles, *batch.tolist()]:
        histogram.observe(amount)
    for amount in singles:
        distribution.observe(amount)
    for part in np.array_split(batch, 2):
        distribution.observe_all(part)
    expected, found = samples(theirs), samples(ours)
    assert expected.keys() == found.keys()
    for key, value in expected.items():  # sums are added in another order
        assert abs(found[key] - value) <= 1e-6


def test_what_several_threads_observe_is_counted_whoever_reads_meanwhile() -> None:
    registry = CollectorRegistry()
    distribution = Distribution("x", "x", ("m",), buckets=BOUNDS, registry=registry).labels("m")
    counts = []

    def observe() -> None:
        for _ in range(5000):
            distribution.observe(0.3)

    def read() -> None:
        for _ in range(200):
            counts.append(samples(registry)["count", ""])

    threads = [threading.Thread(target=work) for work in (observe, observe, observe, observe, read)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert samples(registry)["count", ""] == samples(registry)["bucket", "0.5"] == 20_000
    assert abs(samples(registry)["sum", ""] - 6000) < 1e-6
    assert max(counts) <= 20_000
