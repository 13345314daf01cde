"""Show a record as JUnit: a case for each result; quality is a failure, infrastructure an error."""

import xml.etree.ElementTree as ET
from itertools import groupby
from typing import Any, Final

from evaluator.report import Record
from evaluator.results import Fault, Outcome

# The server was asked and is wrong, worse or slow; everything else kept it from being asked.
_FAILURES: Final = (Fault.PARITY, Fault.QUALITY, Fault.LATENCY)


def render_junit(record: Record) -> str:
    """The text of `junit.xml`."""
    root = ET.Element("testsuites", name="gurmukhi-evaluate")
    for name, group in groupby(record["checks"], key=lambda check: check["check"]):
        root.append(_suite(name, list(group)))
    root.append(_verdict(record))
    for key in ("tests", "failures", "errors", "skipped"):
        root.set(key, str(sum(int(suite.get(key, "0")) for suite in root)))
    root.set("time", f"{record['seconds']:.3f}")
    ET.indent(root)
    return ET.tostring(root, encoding="unicode", xml_declaration=True) + "\n"


def _suite(name: str, checks: list[dict[str, Any]]) -> ET.Element:
    cases = [_case(check) for check in checks]
    seconds = sum(check["seconds"] for check in checks)
    return _counted(ET.Element("testsuite", name=name, time=f"{seconds:.3f}"), cases)


def _case(check: dict[str, Any]) -> ET.Element:
    case = ET.Element(
        "testcase",
        classname=f"evaluate.{check['check']}",
        name=check["subject"],
        time=f"{check['seconds']:.3f}",
    )
    if check["fault"] is not None:
        tag = "failure" if check["fault"] in _FAILURES else "error"
        ET.SubElement(case, tag, type=str(check["fault"]), message=check["sentence"])
    elif check["outcome"] != Outcome.PASS:
        ET.SubElement(case, "skipped", message=f"{check['outcome']}: {check['sentence']}")
    return case


def _verdict(record: Record) -> ET.Element:
    """The run as a whole, so that one which was interrupted or checked nothing is no success."""
    case = ET.Element("testcase", classname="evaluate", name="verdict")
    faults = {check["fault"] for check in record["checks"]} - {None}
    if record["exit_code"] and not faults:
        ET.SubElement(case, "error", type=record["verdict"], message=record["sentence"])
    return _counted(ET.Element("testsuite", name="verdict"), [case])


def _counted(suite: ET.Element, cases: list[ET.Element]) -> ET.Element:
    suite.extend(cases)
    suite.set("tests", str(len(cases)))
    for key, tag in (("failures", "failure"), ("errors", "error"), ("skipped", "skipped")):
        suite.set(key, str(sum(case.find(tag) is not None for case in cases)))
    return suite
