"""What every room knows: values, errors, events, time, money, names, logs and background work. No rules of anybody else's."""
