"""What an error says, as a part of one sentence."""


def first_line(error: BaseException) -> str:
  """Returns the first line of an error's message, or else its kind."""
  return str(error).strip().partition('\n')[0] or type(error).__name__
