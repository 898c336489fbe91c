"""What people and cron call."""
