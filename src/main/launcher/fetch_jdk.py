"""Fetches a Temurin JDK from the Adoptium API into a folder, checked against its SHA-256.

usage: fetch_jdk.py RELEASE FOLDER
JQLORA_ADOPTIUM names another server with the same API, for networks that have a mirror.
Ends with one line that says what was wrong and what would do.
"""
import hashlib
import http.client
import json
import os
import platform
import shutil
import sys
import tarfile
import tempfile
import urllib.error
import urllib.request
import zlib

SYSTEMS = {"Linux": "linux", "Darwin": "mac"}
OTHER_WAY = "install a JDK of this release and name its folder in JQLORA_JAVA_HOME"
MACHINES = {"x86_64": "x64", "amd64": "x64", "aarch64": "aarch64", "arm64": "aarch64"}


def main(release, folder):
    server = os.environ.get("JQLORA_ADOPTIUM", "https://api.adoptium.net")
    try:
        fetch(server, release, folder)
    except urllib.error.HTTPError as error:
        fail(f"{error.url} answers {error.code} {error.reason}; try later, name a mirror in JQLORA_ADOPTIUM, or {OTHER_WAY}")
    except (urllib.error.URLError, TimeoutError, ConnectionError, http.client.HTTPException) as error:
        reason = getattr(error, "reason", error)
        fail(f"{server} cannot be reached ({reason}); connect to the network, name a mirror in JQLORA_ADOPTIUM, or {OTHER_WAY}")
    except (KeyError, TypeError, ValueError) as error:
        reason = f"{type(error).__name__}: {error}"
        fail(f"{server} does not answer as the Adoptium API does ({reason}); name another in JQLORA_ADOPTIUM, or {OTHER_WAY}")
    except (OSError, tarfile.TarError, EOFError, zlib.error) as error:
        fail(f"the JDK cannot be unpacked into {folder} ({error}); {OTHER_WAY}")


def fail(reason):
    sys.exit("fetch_jdk: " + " ".join(reason.split()))


def fetch(server, release, folder):
    system, machine = SYSTEMS.get(platform.system()), MACHINES.get(platform.machine().lower())
    if not system or not machine:
        fail(f"there is no Temurin for {platform.system()} on {platform.machine()}; {OTHER_WAY}")
    listing = f"{server}/v3/assets/latest/{release}/hotspot?architecture={machine}&image_type=jdk&os={system}&vendor=eclipse"
    with urllib.request.urlopen(listing, timeout=60) as reply:
        assets = json.load(reply)
    if not assets:
        fail(f"{listing} has no release for this machine; {OTHER_WAY}")
    package = assets[0]["binary"]["package"]
    print(f"{package['name']}, {package['size'] / 1e6:.0f} MB, from {package['link']}", flush=True)
    parent = os.path.dirname(os.path.abspath(folder))
    os.makedirs(parent, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=parent) as staging:
        archive = os.path.join(staging, "jdk.tar.gz")
        digest = hashlib.sha256()
        with urllib.request.urlopen(package["link"], timeout=60) as reply, open(archive, "wb") as out:
            while chunk := reply.read(1 << 20):
                digest.update(chunk)
                out.write(chunk)
        if digest.hexdigest() != package["checksum"]:
            fail(f"{package['link']}: SHA-256 is {digest.hexdigest()}, it must be {package['checksum']}; "
                 "run it again, the download was cut or altered")
        unpacked = os.path.join(staging, "unpacked")
        with tarfile.open(archive) as tar:
            tar.extractall(unpacked, **({"filter": "tar"} if hasattr(tarfile, "tar_filter") else {}))      # 3.11.4 brought it
        (root,) = os.listdir(unpacked)
        shutil.rmtree(folder, ignore_errors=True)
        os.rename(os.path.join(unpacked, root), folder)
    print(f"unpacked into {folder}")


if __name__ == "__main__":
    main(*sys.argv[1:])
