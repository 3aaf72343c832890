"""The process that clients talk to: one upstream per stream, a policy, and a page to look at."""
