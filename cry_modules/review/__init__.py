"""A local web page on which a person listens to doubtful cases and corrects
their labels."""
