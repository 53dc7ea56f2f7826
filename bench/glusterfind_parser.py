"""The installed glusterfind's own parser, over slices that libgfchangelog has converted to lines.

usage: glusterfind_parser.py DATABASE SLICE...

glusterfind (pre, query) puts what it parses into an SQLite database, so DATABASE is made. Prints the processor seconds
that it took, as a JSON number.
"""

import glob
import json
import sys
import time
from types import SimpleNamespace

# Debian's and Red Hat's place for it.
PLACES = ["/usr/lib/*/glusterfs/glusterfind", "/usr/libexec/glusterfs/glusterfind"]


def main():
    database, *slices = sys.argv[1:]
    found = [place for pattern in PLACES for place in glob.glob(pattern)]
    if not found:
        sys.exit("glusterfind_parser.py: glusterfind is not in %s" % " or ".join(PLACES))
    sys.path.insert(0, found[0])
    from changelog import parse_changelog_to_db
    from changelogdata import ChangelogData

    options = SimpleNamespace(no_encode=False, only_namespace_changes=False, output_prefix="")
    begin = time.process_time()
    data = ChangelogData(database, options)
    for path in slices:
        parse_changelog_to_db(data, path, options)
    data.commit()
    print(json.dumps(time.process_time() - begin))


main()
