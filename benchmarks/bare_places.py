"""`bare_script.py` for many places: one after the other, each fetched, then written.

Arguments: how many places. Prints the seconds that they took, without the start of the program.
"""

import json
import os
import sys
import time
from io import BytesIO
from urllib.parse import urlencode

import boto3
import pycurl

timestream = boto3.client("timestream-write")
api_key = os.environ["OPENWEATHERMAP_API_KEY"]

started = time.perf_counter()
for number in range(int(sys.argv[1])):
    query = urlencode({"id": 9_000_000 + number, "units": "metric", "appid": api_key})
    body = BytesIO()
    curl = pycurl.Curl()
    curl.setopt(curl.URL, f"{os.environ['OPENWEATHERMAP_URL']}?{query}")
    curl.setopt(curl.WRITEDATA, body)
    curl.perform()
    curl.close()
    weather = json.loads(body.getvalue())
    dimensions = [
        {"Name": "city", "Value": weather["name"]},
        {"Name": "country", "Value": weather["sys"]["country"]},
        {"Name": "city_id", "Value": str(weather["id"])},
    ]
    measures = {
        "CurrentTemp": weather["main"]["temp"],
        "TempFeelsLike": weather["main"]["feels_like"],
        "Humidity": weather["main"]["humidity"],
        "Pressure": weather["main"]["pressure"],
    }
    records = [
        {
            "Dimensions": dimensions,
            "MeasureName": name,
            "MeasureValue": str(value),
            "MeasureValueType": "DOUBLE",
            "Time": str(weather["dt"] * 1000),
        }
        for name, value in measures.items()
    ]
    timestream.write_records(
        DatabaseName="TIMESTREAM-DEMO",
        TableName="london_weather_information",
        Records=records,  # type: ignore[arg-type]  # plain dictionaries, as in every tutorial
    )
print(json.dumps({"seconds": time.perf_counter() - started}))
