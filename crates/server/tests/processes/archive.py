#!/usr/bin/env python3
"""A large library leaves one installation and arrives in another, while their servers are killed again and again.

    archive.py FOLDER_OF_EXAMPLE_BINARIES [MEGABYTES] [CUTS]      default 5000 and 20, half of the cuts on each side

Someone has files of noise, 5 MB each. An archive of them is asked for, and the server dies by kill -9 while it is made and while it is
fetched; the download goes on where it was cut off. Then another installation brings it back, and its server dies as often. In the end every
file is there under its id with its hash. Prints how long each way took, with the cuts, and the most memory that a server had.

A killed server's work is taken up once its lease is over. Two minutes are not waited for each time: the lease is ended in the rows, which is
what another day would do. A failure prints the seed; MISORA_TEST_SEED repeats the moments, though not the machine's own timing.
"""
import glob, hashlib, http.client, json, os, random, sqlite3, sys, tempfile, time, urllib.error, urllib.request

from installation import Installation, wait_until

binaries = sys.argv[1]
megabytes, cuts = (int(sys.argv[at]) if len(sys.argv) > at else default for at, default in ((2, 5000), (3, 20)))
seed = int(os.environ.get("MISORA_TEST_SEED", random.randrange(2**32)))
rng = random.Random(seed)
FILE_BYTES = 5_000_000
PASSWORD = "a long enough password"


class Place:
    """An installation with one person, whose server can die."""

    def __init__(self):
        most = (megabytes + 100) * 1_000_000
        self.installation = Installation(
            "sqlite", binaries, MISORA_SIGN_UP="open", MISORA_WORKERS="0", MISORA_FIRST_CLIPS="false", RUST_LOG="warn",
            MISORA_MAX_BODY_BYTES=str(most), MISORA_UPLOAD_MEMORY_BYTES=str(most))
        self.peak, self.cookie, self.process = 0, "", None
        self.start()
        self.sign_in("/api/account")

    def start(self):
        self.process, base, _ = self.installation.start_server()
        self.base = base.removesuffix("/v1")

    def watch(self):
        """Notes the most memory that the server has had, and says that it lives."""
        try:
            for line in open(f"/proc/{self.process.pid}/status"):
                if line.startswith("VmHWM:"):
                    self.peak = max(self.peak, int(line.split()[1]) // 1000)
        except OSError:
            pass
        return True

    def cut(self):
        self.watch()
        self.installation.kill(self.process)
        # Its work is someone else's now.
        [rows] = glob.glob(f"{self.installation.folder}/data/*.sqlite")
        with sqlite3.connect(rows, timeout=30) as database:
            for table in ("exports", "imports"):
                database.execute(f"UPDATE {table} SET lease_until = 0")
        database.close()
        self.start()

    def ask(self, method, path, body=None, headers={}, key=None):
        """One request, patiently: a server may be starting."""
        data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        kind = "application/octet-stream" if isinstance(body, bytes) else "application/json"
        who = {"Authorization": f"Bearer {key}"} if key else {"Cookie": self.cookie}
        request = urllib.request.Request(self.base + path, data, method=method, headers={"Content-Type": kind, "Origin": self.base, **who, **headers})
        try:
            return urllib.request.urlopen(request, timeout=600)
        except urllib.error.HTTPError as error:
            raise SystemExit(f"seed {seed}: {method} {path} was refused: {error.code} {error.read()[:500]}")

    def bytes_of(self, name, key):
        """A file's content; nothing if it is of another project."""
        request = urllib.request.Request(f"{self.base}/v1/files/{name}/content", headers={"Authorization": f"Bearer {key}"})
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return answer.read()
        except urllib.error.HTTPError as error:
            if error.code != 404:
                raise
            return None

    def json(self, *arguments, **named):
        with self.ask(*arguments, **named) as answer:
            return json.loads(answer.read())

    def sign_in(self, path="/api/sessions"):
        """Takes the cookie of a new sign-in, or of joining."""
        with self.ask("POST", path, {"email": "mika@example.org", "password": PASSWORD}) as answer:
            self.cookie = answer.headers["set-cookie"].split(";")[0]

    def keys(self):
        """A key for each project."""
        self.sign_in()
        projects = self.json("GET", "/api/projects")["data"] or [self.json("POST", "/api/projects", {"name": "files"})]
        return [self.json("POST", f"/api/projects/{one['id']}/keys", {"name": "files"})["secret"] for one in projects]

    def cut_until(self, done, how_often, longest):
        """Kills the server so often at random moments before something is done; says how often it was."""
        happened = 0
        while not (self.watch() and done()):
            if happened < how_often:
                time.sleep(rng.uniform(0, longest))
                if not done():
                    self.cut()
                    happened += 1
            else:
                time.sleep(0.2)
        return happened


def fill(place, key):
    """Uploads files of noise; their ids and hashes."""
    hashes = {}
    for number in range(megabytes * 1_000_000 // FILE_BYTES):
        noise = random.Random(number).randbytes(FILE_BYTES)
        head = (b"--cut\r\nContent-Disposition: form-data; name=\"purpose\"\r\n\r\nuser_data\r\n--cut\r\n"
                b"Content-Disposition: form-data; name=\"file\"; filename=\"noise.bin\"\r\n\r\n")
        body = head + noise + b"\r\n--cut--\r\n"
        made = place.json("POST", "/v1/files", body, {"Content-Type": "multipart/form-data; boundary=cut"}, key=key)
        hashes[made["id"]] = hashlib.sha256(noise).hexdigest()
    return hashes


def fetch(place, path, target, size, how_often):
    """Downloads a file in the face of cuts, each time from where it was cut off."""
    moments = sorted(rng.randrange(1, size) for _ in range(how_often))
    with open(target, "ab") as out:
        while out.tell() < size:
            try:
                with place.ask("GET", path, headers={"Range": f"bytes={out.tell()}-"}) as answer:
                    while piece := answer.read(1_000_000):
                        out.write(piece)
                        if moments and out.tell() >= moments[0]:
                            moments.pop(0)
                            place.cut()
            except (OSError, http.client.HTTPException):
                continue
        place.watch()


def bring(place, archive, size):
    """Uploads an archive; the import's id."""
    connection = http.client.HTTPConnection(place.base.split("//")[1], timeout=600)
    headers = {"Cookie": place.cookie, "Origin": place.base, "Content-Type": "application/zip", "Content-Length": str(size)}
    with open(archive, "rb") as body:
        connection.request("POST", "/api/imports", body, headers)
        answer = connection.getresponse()
        text = answer.read()
    assert answer.status == 200, f"seed {seed}: {text[:500]}"
    place.watch()
    return json.loads(text)["id"]


def main():
    print(f"seed {seed}")
    old = Place()
    hashes = fill(old, old.keys()[0])
    old.cut()
    old.peak = 0
    old.watch()
    old.sign_in()
    print(f"{len(hashes)} files of {FILE_BYTES / 1e6:g} MB; a server that does nothing has {old.peak} MB")

    began = time.monotonic()
    export = old.json("POST", "/api/exports", {})["id"]
    state = lambda: old.json("GET", f"/api/exports/{export}")
    # What one step takes is not known before: short pauses, so that all cuts happen.
    made = old.cut_until(lambda: state()["status"] in ("ready", "failed"), cuts // 4, max(0.5, megabytes / 500))
    ready = state()
    assert ready["status"] == "ready", f"seed {seed}: {ready}"
    with tempfile.TemporaryDirectory(prefix="misora-archive.") as folder:
        archive = f"{folder}/mika.zip"
        fetched = cuts // 2 - made
        fetch(old, f"/api/exports/{export}/content", archive, ready["bytes"], fetched)
        print(f"out: {ready['bytes']} bytes in {time.monotonic() - began:.0f} s, cut {made} times while it was made and {fetched} times on the way; "
              f"at most {old.peak} MB")
        with open(archive, "rb") as file:
            assert hashlib.file_digest(file, "sha256").hexdigest() == ready["sha256"], f"seed {seed}: the archive is another"
        old.installation.close()

        new = Place()
        began, left, brought = time.monotonic(), cuts - cuts // 2, 0
        while True:
            brought += 1
            one = bring(new, archive, ready["bytes"])
            state = lambda: new.json("GET", f"/api/imports/{one}")
            left -= new.cut_until(lambda: state()["status"] in ("done", "refused"), left, max(0.5, megabytes / 1000))
            done = state()
            if done["status"] == "done":
                break
            # An import whose server died five times is not tried for ever. Bringing it again goes on.
            assert "failed too often" in done["error"], f"seed {seed}: {done}"
    print(f"in: {time.monotonic() - began:.0f} s, brought {brought} times and cut {cuts - cuts // 2 - left} times; at most {new.peak} MB")
    found = {}
    for key in new.keys():
        for name in hashes.keys() - found.keys():
            bytes = new.bytes_of(name, key)
            if bytes is not None:
                found[name] = hashlib.sha256(bytes).hexdigest()
    assert found == hashes, f"seed {seed}: {len(hashes.items() - found.items())} files are missing or others"
    assert max(old.peak, new.peak) <= 300, f"seed {seed}: {old.peak} and {new.peak} MB"
    print(f"all {len(hashes)} files are there, hash for hash")
    new.installation.close()


main()
