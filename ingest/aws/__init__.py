"""AWS, by boto3: one session and its clients, and its errors as ours."""
