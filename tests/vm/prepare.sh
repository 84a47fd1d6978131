#!/bin/sh
# In a guest with a root of its own, before the tests: the checkout's virtual environment for this machine.
# $1 is the environment's place; the host's own is there, of which what names the checkout serves here, too.
set -eu
place=$1
environment=/opt/environment
modules=lib/python3.11/site-packages

ldconfig
mkdir -p "$environment/bin"
ln -s /usr/bin/python3 "$environment/bin/python"
cp "$place/pyvenv.cfg" "$environment/"
cp -r "$place/$modules/"__editable__* "$place/$modules/bcc.pth" "$place/$modules/"datacrumbs*.dist-info "$environment/$modules/"
cp "$place/bin/"datacrumbs* "$environment/bin/"
mount --bind "$environment" "$place"
"$place/bin/python" -c '
import sys
from pathlib import Path
from datacrumbs import __version__
from setup import build_client
place = Path(sys.argv[1])
build_client(place / "bin", place, __version__)
' "$place"
