"""How fast the feed is: 100,000 posts of 2,000 people with likes and follows, on SQLite.

    python3 benches/feed.py MISORA [--rate 1000] [--seconds 20] [--member | --members 2000]

makes an installation in a temporary folder, fills it, starts `MISORA serve` on one core, and asks for the first page of the feed at a
steady rate from another: requests begin on time whether or not earlier ones were answered, and a request's time counts from when it should
have begun. Prints the percentiles and the server's processor time for each page. A member's page is kept for two seconds: `--member` asks as
one person, again and again; `--members` as so many, one after the other, so that with enough of them no page was kept.
"""

import argparse
import asyncio
import binascii
import hashlib
import itertools
import os
import random
import re
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
import time
import urllib.parse
import urllib.request

PEOPLE, POSTS, LIKES, FOLLOWS = 2_000, 100_000, 300_000, 40_000
PASSWORD = "a long enough password"
WORDS = "boat cat bird star rocket house tree sea meadow desert snow night dusk rain wind red blue green yellow pink".split()


def start(misora, home, port, core):
    environment = {**os.environ, "MISORA_LISTEN": f"127.0.0.1:{port}", "MISORA_SIGN_UP": "open", "MISORA_FIRST_CLIPS": "false", "RUST_LOG": "warn"}
    log = open(os.path.join(home, "log"), "ab")
    server = subprocess.Popen(["taskset", "-c", str(core), misora, "serve", "--home", home], env=environment, stdout=log, stderr=log)
    for _ in range(600):
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=1).read()
            return server
        except OSError:
            time.sleep(0.1)
    raise SystemExit("the server did not start: " + open(os.path.join(home, "log")).read())


def stop(server):
    server.send_signal(signal.SIGTERM)
    server.wait(30)


def id_of(kind, moment, number):
    """An id as the store has them: 48 bits of milliseconds, then whatever tells them apart, in the layout of a UUID version 7."""
    head = moment.to_bytes(6, "big")
    tail = number.to_bytes(6, "big")
    return head + bytes([0x70 | kind, 0, 0x80, 0]) + tail


def sessions(cursor, people, now):
    """Signs people in; their cookies."""
    cookies = []
    for number, person in enumerate(people):
        body = f"mis_ses_{number:048x}"
        token = f"{body}_{binascii.crc32(body.encode()):08x}"
        cookies.append(f"misora_session={token}")
        row = (hashlib.sha256(token.encode()).digest(), id_of(4, now // 1000, number), person, "bench", now, now, now, now + 86_400_000_000)
        cursor.execute("INSERT INTO sessions VALUES (?, ?, ?, ?, ?, ?, ?, ?)", row)
    return cookies


def fill(path, member, members):
    """Fills the rows; the cookies of so many of the people in them."""
    database = sqlite3.connect(path)
    dice = random.Random(7)
    now = time.time_ns() // 1000
    cursor = database.cursor()
    cursor.execute("PRAGMA foreign_keys = OFF")
    people = [id_of(1, now // 1000 - 10_000_000 + number, number) for number in range(PEOPLE)]
    made = [(person, f"person{number}@example.org", now) for number, person in enumerate(people)]
    columns = {row[1]: row for row in cursor.execute("PRAGMA table_info(identities)")}
    needed = [name for name, row in columns.items() if row[3] and row[4] is None and name not in ("id", "email", "created_at")]
    if needed:
        raise SystemExit(f"identities has new columns: {needed}")
    cursor.executemany("INSERT INTO identities (id, email, created_at) VALUES (?, ?, ?)", made)
    cursor.executemany(
        "INSERT INTO memberships (identity, service, state, role, strikes, joined_at, changed_at) VALUES (?, 'social', 'active', 'member', 0, ?, ?)",
        [(person, now, now) for person in people],
    )
    cursor.executemany(
        "INSERT INTO profiles (identity, handle, display_name, bio, closed, created_at, updated_at) VALUES (?, ?, ?, '', 0, ?, ?)",
        [(person, f"person{number}", f"Person {number}", now, now) for number, person in enumerate(people)],
    )
    cursor.executemany(
        "INSERT INTO handles (skeleton, handle, identity, taken_at) VALUES (?, ?, ?, ?)",
        [(f"filled{number}", f"person{number}", person, now) for number, person in enumerate(people)],
    )
    posts, tags, likes = [], [], {}
    for number in range(POSTS):
        at = now - (POSTS - number) * 30_000_000
        post, place = id_of(2, at // 1000, number), id_of(3, at // 1000, number)
        words = " ".join(dice.sample(WORDS, 3))
        posts.append((post, place, dice.choice(people), dice.randbytes(16), f"{words} #{words.split()[0]}", words, at, at))
        tags.append((words.split()[0], place, post))
    for _ in range(LIKES):
        likes[(dice.choice(posts)[0], dice.choice(people))] = now
    counts = {}
    for post, _ in likes:
        counts[post] = counts.get(post, 0) + 1
    half_day = 12 * 3600 * 1_000_000
    rows = []
    for post, place, author, token, caption, prompt, at, _ in posts:
        count = counts.get(post, 0)
        heat = at + half_day * (1 + count).bit_length()
        rows.append((post, place, author, token, caption, prompt, post, count, heat, at, at))
    cursor.executemany(
        """INSERT INTO posts (id, place, author, state, visibility, link_token, caption, prompt, prompt_visibility, remix, download, comments, video, model,
           width, height, seconds, recipe, video_key, video_size, video_sha256, depth, like_count, heat, created_at, published_at)
           VALUES (?, ?, ?, 'published', 'public', ?, ?, ?, 'visible', 1, 1, 1, ?, 'paper-1', 720, 1280, 4, '{}', 'posts/none.mp4', 1, '', 0, ?, ?, ?, ?)""",
        rows,
    )
    cursor.executemany("INSERT INTO post_tags (tag, place, post) VALUES (?, ?, ?)", tags)
    cursor.executemany("INSERT INTO likes (post, identity, at) VALUES (?, ?, ?)", [(*key, at) for key, at in likes.items()])
    follows = {(dice.choice(people), dice.choice(people)) for _ in range(FOLLOWS)}
    if member:
        mine = cursor.execute("SELECT identity FROM profiles WHERE handle = 'reader'").fetchone()[0]
        follows |= {(mine, person) for person in dice.sample(people, 50)}
        cursor.executemany("INSERT OR IGNORE INTO likes (post, identity, at) VALUES (?, ?, ?)", [(post[0], mine, now) for post in dice.sample(posts, 60)])
    pairs = [(one, other, now, now) for one, other in follows if one != other]
    cursor.executemany("INSERT INTO follows (follower, followed, asked_at, accepted_at) VALUES (?, ?, ?, ?)", pairs)
    cookies = sessions(cursor, people[:members], now)
    database.commit()
    cursor.execute("ANALYZE")
    database.commit()
    database.close()
    return cookies


def join(base):
    """Someone with a profile, by the forms of the app; the cookie."""

    class Stay(urllib.request.HTTPRedirectHandler):
        def redirect_request(self, *_):
            return None

    opener = urllib.request.build_opener(Stay)

    def post(path, fields, cookie=""):
        request = urllib.request.Request(base + path, urllib.parse.urlencode(fields).encode(), {"Cookie": cookie, "Origin": base})
        try:
            return opener.open(request)
        except urllib.error.HTTPError as answer:
            return answer

    joined = post("/sign-up", {"email": "reader@example.org", "password": PASSWORD})
    cookie = joined.headers["set-cookie"].split(";")[0]
    kept = post("/account/profile", {"handle": "reader"}, cookie)
    assert kept.status == 303, kept.read()
    return cookie


def processor_seconds(pid):
    children = subprocess.run(["pgrep", "-P", str(pid)], capture_output=True, text=True).stdout.split()
    seconds = 0
    for one in [pid, *map(int, children)]:
        fields = open(f"/proc/{one}/stat").read().rsplit(")", 1)[1].split()
        seconds += (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    return seconds


async def ask(port, cookies, rate, seconds):
    times, sizes, bad = [], [], 0
    idle = asyncio.LifoQueue()
    heads = [f"GET / HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nAccept: text/html\r\nCookie: {cookie}\r\n\r\n".encode() for cookie in cookies]
    turns = itertools.cycle(heads)

    async def one(due):
        nonlocal bad
        try:
            reader, writer = idle.get_nowait()
        except asyncio.QueueEmpty:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(next(turns))
        answer = await reader.readuntil(b"\r\n\r\n")
        length = int(re.search(rb"content-length: (\d+)", answer)[1])
        await reader.readexactly(length)
        times.append(time.perf_counter() - due)
        sizes.append(length)
        bad += not answer.startswith(b"HTTP/1.1 200")
        idle.put_nowait((reader, writer))

    begin = time.perf_counter() + 0.2
    tasks = []
    for number in range(int(rate * seconds)):
        due = begin + number / rate
        wait = due - time.perf_counter()
        if wait > 0:
            await asyncio.sleep(wait)
        tasks.append(asyncio.create_task(one(due)))
    await asyncio.gather(*tasks)
    return times, sizes, bad


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("misora")
    parser.add_argument("--rate", type=float, default=1000)
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--member", action="store_true", help="ask as someone who follows 50 people and liked 60 posts")
    parser.add_argument("--members", type=int, default=0, help=f"ask as so many of the {PEOPLE} people in turn; each follows some 20 and liked some 150")
    options = parser.parse_args()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with tempfile.TemporaryDirectory(prefix="misora-feed.") as home:
        server = start(options.misora, home, port, 0)
        cookies = [join(f"http://127.0.0.1:{port}") if options.member else ""]
        stop(server)
        database = subprocess.run(["find", home, "-name", "*.sqlite*", "-o", "-name", "*.db"], capture_output=True, text=True).stdout.split()
        cookies = fill(min(database, key=len), options.member, options.members) or cookies
        server = start(options.misora, home, port, 0)
        try:
            os.sched_setaffinity(0, {1})
            asyncio.run(ask(port, cookies, min(options.rate, 20), 2))
            before = processor_seconds(server.pid)
            times, sizes, bad = asyncio.run(ask(port, cookies, options.rate, options.seconds))
            spent = processor_seconds(server.pid) - before
        finally:
            stop(server)
    times.sort()
    part = lambda share: times[min(len(times) - 1, int(share * len(times)))] * 1000
    who = f"{options.members} members" if options.members else "a member" if options.member else "a visitor"
    print(f"{len(times)} pages for {who} at {options.rate:g} a second, {max(sizes) / 1000:.1f} kB each, {bad} not 200")
    print(f"median {part(0.5):.1f} ms, p99 {part(0.99):.1f} ms, worst {times[-1] * 1000:.1f} ms; processor {spent / len(times) * 1000:.2f} ms a page")


if __name__ == "__main__":
    sys.exit(main())
