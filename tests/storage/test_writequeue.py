"""The queue of values to write costs the same however much waits. What it keeps is tested in `test_sqlite`."""

from cloudlink.storage.writequeue import WriteQueue
from tests.support.growth import growth


def test_fetching_news_takes_ten_times_as_long_for_ten_times_as_much():
    def prepare(count):
        queue = WriteQueue()
        queue.announce((str(number), "v", b"1") for number in range(count))
        return queue

    def fetch_all(queue):
        while queue.fetch(10):
            pass

    assert growth(prepare, fetch_all, 3000) < 40
