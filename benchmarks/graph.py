"""The other floor: a graph run by onnxruntime in its own process, with nothing around it.

Run as `python -m benchmarks.graph model.onnx`; each line of its input, a size of batch and a number
of seconds, is answered with the images a second that it got through.
"""

import sys
import time

import numpy as np
import onnxruntime

from gurmukhi.synthetic import synthetic_digits


def main(path: str) -> None:
    """Answer until the input ends."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    print("ready: port 0", flush=True)  # noqa: T201
    for line in sys.stdin:
        batch, seconds = int(line.split()[0]), float(line.split()[1])
        images = np.resize(synthetic_digits(min(batch, 64), 17)[0], (batch, 32, 32))
        session.run(None, {"pixels": images})
        started, cpu_started, runs = time.perf_counter(), time.process_time(), 0
        while time.perf_counter() - started < seconds:
            session.run(None, {"pixels": images})
            runs += 1
        cpu = time.process_time() - cpu_started
        rate = runs * batch / (time.perf_counter() - started)
        print(rate, cpu / runs * 1e6, flush=True)  # noqa: T201


if __name__ == "__main__":
    main(sys.argv[1])
