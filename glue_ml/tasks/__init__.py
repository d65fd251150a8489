"""What each type of task run does with a spec and a Spark session; `jobs/` has a script that runs each."""
