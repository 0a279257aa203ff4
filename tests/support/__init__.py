"""What the tests share: real servers, a real browser, waiting, and traces that jobs leave."""
