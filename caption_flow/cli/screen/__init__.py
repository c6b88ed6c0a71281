"""The full screen of `caption-flow monitor`: panes, keys, and the terminal they are on."""
