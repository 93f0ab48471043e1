"""Answers each message with its own text, until it is stopped.

The access token is in the environment as WEBEX_ACCESS_TOKEN. Where the host names of Webex lead to is
the environment's matter, too: HTTPS_PROXY, REQUESTS_CA_BUNDLE and SSL_CERT_FILE.
"""

import os

from webex_bot.models.command import Command
from webex_bot.webex_bot import WebexBot


class Repeat(Command):
    """The one command: `repeat something`."""

    def __init__(self):
        super().__init__(command_keyword="repeat", help_message="Repeats what you say.")

    def execute(self, message, attachment_actions, activity):
        return f"You said: {message.strip()}"


bot = WebexBot(os.environ["WEBEX_ACCESS_TOKEN"], bot_name="Parrot")
bot.add_command(Repeat())
bot.run()
