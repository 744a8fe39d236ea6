"""Converts RecBole's atomic interaction files to `user item item ...` lines.

    python retrain/baselines/atomic.py < ml-100k.inter > ml-100k.txt

It reads the columns user_id, item_id and timestamp. Items of a user are ordered by time,
then by id. Ids are renumbered from 1 in order of first appearance.
"""

import collections
import sys


def main():
    columns = [name.split(":")[0] for name in sys.stdin.readline().split("\t")]
    user, item, time = (columns.index(name) for name in ("user_id", "item_id", "timestamp"))
    histories, numbers = collections.defaultdict(list), {}
    for line in sys.stdin:
        values = line.rstrip("\n").split("\t")
        histories[int(values[user])].append((float(values[time]), int(values[item])))
    for number, name in enumerate(sorted(histories), 1):
        items = (numbers.setdefault(item, len(numbers) + 1) for _, item in sorted(histories[name]))
        print(number, *items)


if __name__ == "__main__":
    main()
