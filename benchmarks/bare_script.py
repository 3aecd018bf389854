"""London's weather into Timestream as a tutorial would do it: one step after another, no care.

What `cold_run.py` measures the program against. It reads its settings as the program does.
"""

import json
import os
from io import BytesIO
from urllib.parse import urlencode

import boto3
import pycurl

secrets_manager = boto3.client("secretsmanager")
timestream = boto3.client("timestream-write")

answer = secrets_manager.get_secret_value(SecretId="weather-ingest")
api_key = json.loads(answer["SecretString"])["OPENWEATHERMAP_API_KEY"]

query = urlencode({"q": "London,GB", "units": "metric", "appid": api_key})
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
