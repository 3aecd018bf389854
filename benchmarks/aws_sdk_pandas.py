"""The records of many observations from memory with `awswrangler.timestream.write`.

Arguments: how many observations, and threads. Prints the seconds that they took, without imports
and the making of the data frame. It takes one measure name a call, so each measure has its own.
"""

import json
import sys
import time

import awswrangler  # type: ignore[import-not-found,unused-ignore]
import pandas  # type: ignore[import-not-found,import-untyped,unused-ignore]

count, threads = int(sys.argv[1]), int(sys.argv[2])
ids = range(9_000_000, 9_000_000 + count)
frame = pandas.DataFrame(
    {
        "city": [f"Station {city_id}" for city_id in ids],
        "country": "GB",
        "city_id": list(ids),
        "time": pandas.Timestamp(time.time_ns() // 10**9 - 600, unit="s"),
        "CurrentTemp": 11.43,
        "TempFeelsLike": 10.82,
        "Humidity": 93.0,
        "Pressure": 1016.0,
    }
)


def write(rows: pandas.DataFrame) -> None:
    for measure in ("CurrentTemp", "TempFeelsLike", "Humidity", "Pressure"):
        rejected = awswrangler.timestream.write(
            df=rows,
            database="TIMESTREAM-DEMO",
            table="london_weather_information",
            time_col="time",
            measure_col=measure,
            dimensions_cols=["city", "country", "city_id"],
            measure_name=measure,
            version=time.time_ns() // 1_000_000,
            use_threads=threads,
        )
        assert not rejected  # noqa: S101  (the server rejects nothing)


write(frame[:1])  # the client and its cell
started = time.perf_counter()
write(frame)
print(json.dumps({"seconds": time.perf_counter() - started}))
