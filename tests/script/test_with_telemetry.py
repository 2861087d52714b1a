"""Programs that know nothing of telemetry, run with it: what they do, and what is recorded."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path
from typing import Any

import pytest

from peers import require_peer

pytest.importorskip("mlx.core")

DRIVER = Path(__file__).with_name("telemetry_driver.py")


class Ran:
    def __init__(self, done: subprocess.CompletedProcess[bytes], recorded: Path) -> None:
        self.status = done.returncode
        self.stdout = done.stdout.decode()
        self.stderr = done.stderr.decode()
        self.snapshot: dict[str, Any] = (
            json.loads(recorded.read_text()) if recorded.exists() else {}
        )

    def counts(self) -> dict[str, int]:
        assert self.snapshot["internals"]["errors"] == {}
        operations = self.snapshot["operations"]
        return {f"{one['kind']} {one['name']}": one["executions"] for one in operations}


def run(folder: Path, source: str, *args: str) -> Ran:
    (folder / "program.py").write_text(textwrap.dedent(source))
    recorded = folder / "recorded.json"
    done = subprocess.run(
        [sys.executable, str(DRIVER), "program.py", *args],
        cwd=folder,
        env={**os.environ, "RECORDED": str(recorded)},
        capture_output=True,
        timeout=110,
        check=False,
    )
    return Ran(done, recorded)


def test_what_is_recorded_is_what_the_program_counted_itself(tmp_path: Path) -> None:
    ran = run(
        tmp_path,
        """
        import collections, json, sys
        import mlx.core as mx, mlx.nn as nn, mlx.optimizers as optim
        from mlx.core import eval as evaluate

        counted = collections.Counter()
        model = nn.Sequential(nn.Linear(8, 16), nn.Tanh(), nn.Linear(16, 1))
        optimizer = optim.SGD(learning_rate=0.1)
        x, y = mx.random.normal((32, 8)), mx.random.normal((32, 1))

        def loss(x, y):
            counted["compile step"] += 1
            return ((model(x) - y) ** 2).mean()

        def step(x, y):
            value, gradients = nn.value_and_grad(model, loss)(x, y)
            optimizer.update(model, gradients)
            return value
        step.__qualname__ = "step"

        state = [model.state, optimizer.state]
        compiled = mx.compile(step, inputs=state, outputs=state)
        for epoch in range(20):
            value = compiled(x, y); counted["execute step"] += 1
            evaluate(state, value); counted["execute eval"] += 1
            if epoch % 4 == 0:
                value.item(); counted["synchronize item"] += 1
        for n in range(7):
            mx.async_eval(x + n); counted["execute async_eval"] += 1
        mx.synchronize(); counted["synchronize synchronize"] += 1
        mx.save_safetensors("w.safetensors", {"x": x}); counted["transfer save_safetensors"] += 1
        mx.load("w.safetensors"); counted["transfer load"] += 1
        json.dump(counted, sys.stdout)
        """,
    )
    assert ran.stderr == ""
    counted = json.loads(ran.stdout)
    assert len(counted) == 8
    # The layers of mlx.nn are MLX's own compiled functions, which the program does not see.
    ours = {name: n for name, n in ran.counts().items() if name in counted}
    assert ours == counted


def test_a_program_killed_by_sigterm_leaves_its_telemetry_behind(tmp_path: Path) -> None:
    ran = run(
        tmp_path,
        """
        import os, signal, time
        import mlx.core as mx
        for _ in range(5):
            mx.eval(mx.ones(3) + 1)
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(60)
        """,
    )
    assert ran.status == -signal.SIGTERM
    assert (ran.stdout, ran.stderr) == ("", "")
    assert ran.counts() == {"execute eval": 5}


def test_sigterm_ends_a_program_that_is_inside_a_library(tmp_path: Path) -> None:
    # As in a long evaluation, the main thread is in C and gets back to no Python handler.
    (tmp_path / "stuck.c").write_text(
        "#include <time.h>\n#include <unistd.h>\n"
        "void stuck(void) { time_t end = time(0) + 90; while (time(0) < end) pause(); }\n"
    )
    compiler = require_peer("cc")
    subprocess.run(
        [compiler, "-shared", "-fPIC", "-o", "stuck.so", "stuck.c"], cwd=tmp_path, check=True
    )
    (tmp_path / "program.py").write_text(
        textwrap.dedent(
            """
            import ctypes
            import mlx.core as mx
            mx.eval(mx.ones(3) + 1)
            stuck = ctypes.CDLL("./stuck.so").stuck
            print("in", flush=True)
            stuck()
            """
        )
    )
    recorded = tmp_path / "recorded.json"
    with subprocess.Popen(
        [sys.executable, str(DRIVER), "program.py"],
        cwd=tmp_path,
        env={**os.environ, "RECORDED": str(recorded)},
        stdout=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"in\n"
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == -signal.SIGTERM
    operations = json.loads(recorded.read_text())["operations"]
    assert [one["executions"] for one in operations] == [1]


def test_a_flush_that_hangs_does_not_keep_the_process(tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text("print('in', flush=True)\nimport time; time.sleep(60)\n")
    driver = tmp_path / "driver.py"
    driver.write_text(
        "import metalscope.script as script, time\n"
        "script.FLUSH_SECONDS = 0.2\n"
        "script.run_script('program.py', flush=lambda: time.sleep(60))\n"
    )
    with subprocess.Popen(
        [sys.executable, str(driver)], cwd=tmp_path, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"in\n"
        started = time.monotonic()
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == -signal.SIGTERM
        assert time.monotonic() - started < 30


def test_work_of_threads_that_outlive_main_is_recorded(tmp_path: Path) -> None:
    ran = run(
        tmp_path,
        """
        import threading, time
        import mlx.core as mx
        def work():
            time.sleep(0.3)
            for _ in range(5):
                mx.eval(mx.ones(3) + 1)
        threading.Thread(target=work).start()
        raise ValueError("main is over")
        """,
    )
    assert ran.status == 1
    assert ran.stderr.endswith("ValueError: main is over\n")
    assert ran.counts() == {"execute eval": 5}


def test_exit_with_asynchronous_work_under_way_is_clean(tmp_path: Path) -> None:
    for _ in range(3):
        ran = run(
            tmp_path,
            """
            import mlx.core as mx
            x = mx.ones((400, 400)) / 400
            for _ in range(10):
                x = x @ x
                mx.async_eval(x)
            print("end")
            """,
        )
        assert (ran.status, ran.stdout, ran.stderr) == (0, "end\n", "")
        assert ran.counts() == {"execute async_eval": 10}


def test_a_forked_child_is_left_alone_and_the_parent_counts_on(tmp_path: Path) -> None:
    ran = run(
        tmp_path,
        """
        import os
        import mlx.core as mx
        mx.async_eval(mx.ones(3) + 1)
        mx.synchronize()  # a child of MLX at work may wait for a lock that nobody lets go of
        child = os.fork()
        if not child:
            os._exit(mx.array([1, 2]).shape[0])
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
        mx.async_eval(mx.ones(3) + 2)
        """,
    )
    assert (ran.status, ran.stdout) == (0, "2\n")
    assert ran.counts() == {"execute async_eval": 2, "synchronize synchronize": 1}


def test_an_exception_inside_mlx_prints_the_traceback_of_mlx_alone(tmp_path: Path) -> None:
    source = """
        import mlx.core as mx

        @mx.compile
        def multiply(x, y):
            return x @ y

        multiply(mx.ones((2, 3)), mx.ones((4, 5)))
        """
    ran = run(tmp_path, source)
    bare = subprocess.run(
        [sys.executable, "program.py"], cwd=tmp_path, capture_output=True, check=False
    )
    assert "matmul" in ran.stderr
    assert (ran.status, ran.stderr) == (bare.returncode, bare.stderr.decode())
    assert ran.counts() == {"compile multiply": 1}


GENERATE = """
    import json, sys
    from pathlib import Path

    import mlx.core as mx
    from mlx.utils import tree_flatten
    from mlx_lm import load, stream_generate
    from mlx_lm.models.llama import Model, ModelArgs
    from mlx_lm.sample_utils import make_sampler
    from tokenizers import Tokenizer, models, pre_tokenizers

    folder = Path("model")
    folder.mkdir(exist_ok=True)
    words = ["<unk>", "<s>", "</s>", *(f"w{n}" for n in range(61))]
    tokenizer = Tokenizer(
        models.WordLevel({word: n for n, word in enumerate(words)}, unk_token="<unk>")
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.save(str(folder / "tokenizer.json"))
    (folder / "tokenizer_config.json").write_text(json.dumps(
        {"tokenizer_class": "PreTrainedTokenizerFast", "bos_token": "<s>", "eos_token": "</s>",
         "unk_token": "<unk>"}))
    config = dict(
        model_type="llama", hidden_size=32, num_hidden_layers=2, intermediate_size=64,
        num_attention_heads=4, num_key_value_heads=2, rms_norm_eps=1e-5, vocab_size=len(words),
        tie_word_embeddings=True)
    (folder / "config.json").write_text(json.dumps(config))
    mx.random.seed(7)
    model = Model(ModelArgs.from_dict(config))
    mx.save_safetensors(
        str(folder / "model.safetensors"), dict(tree_flatten(model.parameters())))

    model, tokenizer = load(str(folder))
    tokens = [
        response.token
        for response in stream_generate(
            model, tokenizer, "w1 w2 w3", max_tokens=24, sampler=make_sampler(temp=0.0))
    ]
    print(tokens)
    """


def test_mlx_lm_generates_the_same_and_each_token_is_seen(tmp_path: Path) -> None:
    pytest.importorskip("mlx_lm")
    ran = run(tmp_path, GENERATE)
    assert ran.status == 0, ran.stderr
    bare = subprocess.run(
        [sys.executable, "program.py"],
        cwd=tmp_path,
        capture_output=True,
        check=False,
        timeout=110,
        text=True,
    )
    assert ran.stdout == bare.stdout
    tokens = json.loads(ran.stdout)
    assert tokens
    counts = ran.counts()
    # Each token but the first is submitted while the one before it is read.
    assert counts["execute async_eval"] >= len(tokens)
    assert counts["synchronize item"] >= len(tokens)
    assert counts["execute swiglu"] > 0
    assert counts["transfer load"] == counts["transfer save_safetensors"] == 1
    memory = {one["name"]: one for one in ran.snapshot["resources"]}
    assert memory["mlx_active"]["peak"] > 0
