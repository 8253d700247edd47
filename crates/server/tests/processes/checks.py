#!/usr/bin/env python3
"""Runs checks that others wrote against real servers: the official SDK's on SQLite and a folder, then on PostgreSQL and S3, and
schemathesis against the server's own description of itself.

    checks.py FOLDER_OF_EXAMPLE_BINARIES FOLDER_OF_CHECKS

Prints the last line of each check, all of it if one failed. Exit status 0 only if none did.
"""
import os, subprocess, sys, tempfile

from installation import Installation

binaries, checks = sys.argv[1:3]
# The smallest clips that the server offers: what is checked here is the contract, not the picture.
SETTINGS = dict(OPENAI_CHECK_SIZE=os.environ.get("OPENAI_CHECK_SIZE", "144x80"), OPENAI_CHECK_POLL="0.2",
                OPENAI_CHECK_EXTRAS="images,moderations,batch", OPENAI_CHECK_TIMEOUT="300")
SCHEMATHESIS = ["run", "--checks", "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance",
                "--max-examples", os.environ.get("MISORA_TEST_EXAMPLES", "10"), "--seed", "1", "--request-timeout", "60"]
failed = False


def run(name, command, base, key, cwd=None):
    global failed
    environment = {**os.environ, **SETTINGS, "BASE_URL": base, "API_KEY": key}
    done = subprocess.run(command, env=environment, cwd=cwd, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    lines = [line for line in done.stdout.splitlines() if line.strip()] or ["no output"]
    if done.returncode:
        failed = True
        print("\n".join(line for line in lines if not line.startswith("ok ")))
    print(f"{name}: {lines[-1].strip(' =')}", flush=True)


for kind, place in (("sqlite", "SQLite and a folder"), ("postgres", "PostgreSQL and S3")):
    installation = Installation(kind, binaries)
    server, base, key = installation.start_server()
    for check in ("openai_client_check.py", "openai_webhook_check.py"):
        run(f"{check} on {place}", [sys.executable, os.path.join(checks, check)], base, key)
    if kind == "sqlite":
        with tempfile.TemporaryDirectory() as folder:
            url = base.removesuffix("/v1") + "/openapi.json"
            tool = os.path.join(os.path.dirname(sys.executable), "schemathesis")
            run("schemathesis", [tool, *SCHEMATHESIS, "--header", f"Authorization: Bearer {key}", url], base, key, cwd=folder)
    status = installation.stop(server)
    if status != 0:
        failed = True
        print(f"the server on {place} ended with status {status}")
    installation.close()
sys.exit(failed)
