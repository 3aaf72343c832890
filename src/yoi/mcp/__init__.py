"""MCP, both ways: workers use tools of servers, and MCP clients use those of plugins."""
