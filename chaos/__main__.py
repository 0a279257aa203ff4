"""Play every scenario, or see whether each notices what it must."""
