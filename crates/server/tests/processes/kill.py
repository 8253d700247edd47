#!/usr/bin/env python3
"""kill -9 at random moments of real jobs: a server or worker dies, again and again, while clips are asked for and made.

    kill.py FOLDER_OF_EXAMPLE_BINARIES [MOMENTS]      default 20, half of them on each kind of installation

Then everything is left alone until it is done, and this must hold: every accepted job is completed, charged once and told by
webhook at least once, always with the same id; its clip is whole and its pictures are there; nothing else lies among the objects.
A failure prints the seed; MISORA_TEST_SEED repeats the order of moments and victims, though not the machine's own timing.
"""
import hashlib, http.server, json, os, random, sys, threading, time, urllib.error, urllib.request

from installation import BUCKET, Installation, wait_until

binaries, moments = sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 20
seed = int(os.environ.get("MISORA_TEST_SEED", random.randrange(2**32)))
# Jobs that wait or run at one time: enough that a kill always meets one. A job whose workers were lost four times ends as failed, which is
# right and would be no proof here; jobs of half a second and seconds between kills make that too rare to be met.
BUSY = 6


def call(base, key, method, path, body=None, headers={}, timeout=20):
    request = urllib.request.Request(base + path, None if body is None else json.dumps(body).encode(), method=method,
                                     headers={"Authorization": f"Bearer {key}", "Content-Type": "application/json", **headers})
    with urllib.request.urlopen(request, timeout=timeout) as response:
        return response.headers, response.read()


class Receiver:
    """Takes webhooks, and refuses every fifth that it has not seen before."""

    def __init__(self):
        self.heard, self.seen, lock = {}, set(), threading.Lock()
        receiver = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                event = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                with lock:
                    refuse = event["id"] not in receiver.seen and len(receiver.seen) % 5 == 4
                    receiver.seen.add(event["id"])
                    if not refuse:
                        heard = receiver.heard.setdefault(event["data"]["id"], [])
                        heard.append((event["type"], self.headers["webhook-id"], event["id"]))
                self.send_response(500 if refuse else 200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_):
                pass

        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{server.server_address[1]}/hook"


class Client:
    """Asks for clips for as long as it shall, and keeps asking until each is accepted."""

    def __init__(self, base, key, rng):
        self.base, self.key, self.rng, self.accepted, self.ended = base, key, rng, {}, set()
        self.going, self.thread = True, threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def patiently(self, *arguments, **named):
        while True:
            try:
                return call(self.base, self.key, *arguments, **named)
            except urllib.error.HTTPError as error:
                if error.code < 500:
                    raise SystemExit(f"{arguments[:2]} was refused: {error.read()[:300]}")
            except (urllib.error.URLError, OSError, http.client.HTTPException):
                pass
            time.sleep(0.1)

    def run(self):
        while self.going:
            if len(self.accepted) - len(self.ended) >= BUSY:
                self.look()
                time.sleep(0.1)
                continue
            name = f"{self.rng.getrandbits(64):016x}"
            body = {"prompt": "a red boat", "size": "144x80", "seconds": "4", "seed": len(self.accepted)}
            _, answer = self.patiently("POST", "/videos", body, {"Idempotency-Key": name})
            video = json.loads(answer)["id"]
            # The same request twice is one job.
            assert video not in self.accepted, video
            self.accepted[video] = name

    def look(self):
        for video in sorted(set(self.accepted) - self.ended):
            if json.loads(self.patiently("GET", f"/videos/{video}")[1])["status"] in ("completed", "failed"):
                self.ended.add(video)


def pages(client, path):
    after = ""
    while True:
        page = json.loads(client.patiently("GET", f"{path}?limit=100{after}")[1])
        yield from page["data"]
        if not page["has_more"]:
            return
        after = f"&after={page['data'][-1]['id']}"


def object_names(installation):
    if installation.kind == "sqlite":
        root = f"{installation.folder}/data/objects"
        return [os.path.relpath(os.path.join(at, name), root) for at, _, names in os.walk(root) for name in names]
    names, token = [], ""
    while True:
        import re
        listing = urllib.request.urlopen(f"{installation.s3.endpoint}/{BUCKET}?list-type=2{token}").read().decode()
        names += re.findall(r"<Key>([^<]+)</Key>", listing)
        more = re.search(r"<NextContinuationToken>([^<]+)<", listing)
        if not more:
            return names
        token = f"&continuation-token={more[1]}"


def run(kind, moments, rng):
    started = time.monotonic()
    slow = dict(MISORA_TEST_STEP_MS="2", MISORA_WORKERS="1" if kind == "sqlite" else "0")
    installation = Installation(kind, binaries, **slow)
    server, base, key = installation.start_server()
    workers = [installation.start_worker() for _ in range(2)] if kind == "postgres" else []
    receiver, killed = Receiver(), {"server": 0, "worker": 0}
    call(base, key, "POST", "/webhook_endpoints", {"name": "kill", "url": receiver.url, "event_types": ["video.completed", "video.failed"]})
    client = Client(base, key, rng)

    for _ in range(moments):
        time.sleep(rng.uniform(0.5, 4.0))
        if workers and rng.random() < 0.6:
            index = rng.randrange(len(workers))
            installation.kill(workers[index])
            workers[index] = installation.start_worker()
            killed["worker"] += 1
        else:
            installation.kill(server)
            server, _, _ = installation.start_server()
            killed["server"] += 1
    client.going = False
    client.thread.join(120)
    assert client.accepted, "nothing was accepted"

    def all_ended():
        client.look()
        return len(client.ended) == len(client.accepted)

    wait_until("the end of all jobs", 300, all_ended)
    wait_until("the last webhook", 120, lambda: set(client.accepted) <= set(receiver.heard))

    charged = {}
    for entry in pages(client, "/usage/ledger"):
        if entry["kind"] in ("charge", "release"):
            charged.setdefault(entry["video"], []).append(entry["kind"])
    for video in client.accepted:
        told = json.loads(client.patiently("GET", f"/videos/{video}")[1])
        assert told["status"] == "completed" and told["progress"] == 100, told
        assert charged.get(video) == ["charge"], (video, charged.get(video))
        heard = set(receiver.heard[video])
        assert len(heard) == 1 and {type for type, _, _ in heard} == {"video.completed"}, heard
        headers, clip = client.patiently("GET", f"/videos/{video}/content")
        assert headers["etag"].strip('"') == hashlib.sha256(clip).hexdigest(), headers["etag"]
        for variant in ("thumbnail", "spritesheet"):
            assert client.patiently("GET", f"/videos/{video}/content?variant={variant}")[1]
    listed = [video["id"] for video in pages(client, "/videos")]
    assert sorted(listed) == sorted(client.accepted), f"{len(listed)} are listed, {len(client.accepted)} were accepted"
    assert set(charged) <= set(client.accepted), "something was charged that was not asked for"

    def tidy():
        renders = [name for name in object_names(installation) if name.startswith("renders/")]
        return renders if len(renders) == 3 * len(client.accepted) else None

    renders = wait_until("three objects for each clip, and no others", 60, tidy)
    attempts = [int(name.split("/")[2]) for name in renders]
    again = sum(attempt > 1 for attempt in attempts) // 3
    doubles = sum(len(heard) for heard in receiver.heard.values()) - len(receiver.heard)
    for process in [server, *workers]:
        assert installation.stop(process) == 0, "a process did not end in order"
    installation.close()
    print(f"{kind}: {moments} kills ({killed['server']} of the server, {killed['worker']} of a worker), {len(client.accepted)} jobs, all completed and "
          f"charged once, {again} made at a later attempt, {doubles} webhooks came twice with the same id; {time.monotonic() - started:.0f} s", flush=True)


try:
    rng = random.Random(seed)
    run("sqlite", moments // 2, rng)
    run("postgres", moments - moments // 2, rng)
except (AssertionError, SystemExit) as error:
    print(f"failed with MISORA_TEST_SEED={seed}: {error}", flush=True)
    sys.exit(1)
