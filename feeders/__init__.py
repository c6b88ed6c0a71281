"""The sources that come with caption-flow; each is written as a third-party package would be."""
