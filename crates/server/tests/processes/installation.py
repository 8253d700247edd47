"""Starts what an installation is made of, as processes of its own: PostgreSQL, an S3 server, the example server and worker.

Everything lives in one temporary folder and is gone when the `Installation` is closed, whatever happened in it.
"""
import atexit, glob, os, shutil, signal, socket, subprocess, sys, tempfile, time, urllib.error, urllib.request

BUCKET = "misora"


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def wait_until(what, seconds, condition):
    end = time.monotonic() + seconds
    while not (found := condition()):
        if time.monotonic() > end:
            raise SystemExit(f"{what} did not happen within {seconds} s")
        time.sleep(0.05)
    return found


class Postgres:
    """A server on a socket alone, in a folder that its own user can write to."""

    def __init__(self):
        bins = sorted(glob.glob("/usr/lib/postgresql/*/bin/initdb"))
        if not bins:
            raise SystemExit("PostgreSQL is not installed (apt-get install postgresql)")
        self.bin = os.path.dirname(bins[-1])
        self.folder = tempfile.mkdtemp(prefix="misora-postgres.")
        if os.getuid() == 0:
            shutil.chown(self.folder, "postgres")
        self._run("initdb", "-D", f"{self.folder}/data", "-U", "postgres", "-A", "trust", "-E", "UTF8", "--no-sync")
        # Commits reach the disk: a database that forgets at kill -9 would prove nothing.
        options = f"-k {self.folder} -c listen_addresses='' -c max_connections=200"
        self._run("pg_ctl", "-D", f"{self.folder}/data", "-w", "-l", f"{self.folder}/server.log", "-o", options, "start")
        self.url = f"postgres://postgres@localhost/postgres?host={self.folder}"

    def _run(self, program, *arguments):
        command = [f"{self.bin}/{program}", *arguments]
        if os.getuid() == 0:
            command = ["runuser", "-u", "postgres", "--", *command]
        subprocess.run(command, cwd="/", check=True, stdout=subprocess.DEVNULL)

    def close(self):
        self._run("pg_ctl", "-D", f"{self.folder}/data", "-m", "immediate", "stop")
        shutil.rmtree(self.folder, ignore_errors=True)


class S3:
    """moto's server with one empty bucket."""

    def __init__(self, log):
        self.endpoint = f"http://127.0.0.1:{free_port()}"
        port = self.endpoint.rsplit(":", 1)[1]
        self.process = subprocess.Popen([sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", port], stdout=log, stderr=log)

        def bucket():
            try:
                urllib.request.urlopen(urllib.request.Request(f"{self.endpoint}/{BUCKET}", method="PUT"), timeout=5)
                return True
            except urllib.error.URLError:
                return False

        wait_until("the S3 server's start", 60, bucket)

    def close(self):
        self.process.kill()
        self.process.wait()


class Installation:
    """One installation. `kind` is `sqlite` (with a folder) or `postgres` (with S3)."""

    def __init__(self, kind, binaries, **variables):
        self.kind, self.binaries, self.processes = kind, binaries, []
        self.folder = tempfile.mkdtemp(prefix="misora-server.")
        self.log = open(f"{self.folder}/log", "ab")
        self.postgres = self.s3 = None
        atexit.register(self.close)
        self.environment = {k: v for k, v in os.environ.items() if not k.startswith("MISORA_")}
        self.environment.update(MISORA_LISTEN=f"127.0.0.1:{free_port()}", **variables)
        if kind == "postgres":
            self.postgres, self.s3 = Postgres(), S3(self.log)
            self.environment.update(
                MISORA_DATABASE_URL=self.postgres.url, MISORA_S3_BUCKET=BUCKET, MISORA_S3_ENDPOINT=self.s3.endpoint,
                MISORA_S3_ACCESS_KEY_ID="test", MISORA_S3_SECRET_ACCESS_KEY="test")

    def _start(self, name):
        process = subprocess.Popen([f"{self.binaries}/{name}", f"{self.folder}/data"], env=self.environment,
                                   stdout=subprocess.PIPE, stderr=self.log, text=True)
        self.processes.append(process)
        return process

    def _line(self, process):
        line = process.stdout.readline().strip()
        if not line:
            self.log.flush()
            sys.stderr.write(open(f"{self.folder}/log", errors="replace").read()[-4000:])
            raise SystemExit("a process did not start")
        return line

    def start_server(self):
        """The process, its base URL and a key."""
        process = self._start("test_server")
        base, key = (self._line(process).split("=", 1)[1] for _ in range(2))
        return process, base, key

    def start_worker(self):
        process = self._start("test_worker")
        self._line(process)
        return process

    def kill(self, process):
        process.send_signal(signal.SIGKILL)
        process.wait()
        self.processes.remove(process)

    def stop(self, process, seconds=30):
        process.send_signal(signal.SIGTERM)
        status = process.wait(seconds)
        self.processes.remove(process)
        return status

    def close(self):
        for process in self.processes:
            process.kill()
            process.wait()
        self.processes = []
        for part in (self.postgres, self.s3):
            if part:
                part.close()
        self.postgres = self.s3 = None
        self.log.close()
        shutil.rmtree(self.folder, ignore_errors=True)
