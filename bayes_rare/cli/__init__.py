"""The command line, thin over the Python interface.

Whatever is heavy to import is imported inside the command that needs it, so that
``--help`` answers at once.

=========  ====================================================
exit code  meaning
=========  ====================================================
0          done
1          refused, with one paragraph on standard error
2          the command line itself is wrong
3          the fit did not converge
130        interrupted (Ctrl-C)
143        ended by SIGTERM; 129 where the terminal was closed
=========  ====================================================
"""

import os
import sys
from collections.abc import Sequence

from cyclopts import App, CycloptsError, Parameter

from bayes_rare import __version__
from bayes_rare.cli.backtests import backtest, compare, stack
from bayes_rare.cli.fits import demo, fit, models
from bayes_rare.cli.forecasts import families, forecast, queries
from bayes_rare.cli.imports import app as importing
from bayes_rare.cli.reports import report
from bayes_rare.cli.signals import Ended, in_order
from bayes_rare.cli.speech import INTERRUPTED, HelpFormatter
from bayes_rare.errors import LONGEST, BayesRareError, NotConverged, within

__all__ = ["app", "main"]

_DONE, _REFUSED, _USAGE, _UNCONVERGED = 0, 1, 2, 3

app = App(
    name="bayes-rare",
    help="Forecast a language model's worst-case risk at deployment scale.",
    version=__version__,
    help_format="plaintext",
    help_formatter=HelpFormatter(),
    default_parameter=Parameter(negative=()),
    suppress_keyboard_interrupt=False,
)
for command in (
    importing,
    demo,
    models,
    fit,
    forecast,
    families,
    queries,
    backtest,
    compare,
    stack,
    report,
):
    app.command(command)


def main(tokens: Sequence[str] | None = None) -> int:
    """Run a command and return its exit code.

    Parameters
    ----------
    tokens
        Words of the command line; by default those of this process.
    """
    try:
        with in_order():
            app(
                sys.argv[1:] if tokens is None else tokens,
                exit_on_error=False,
                print_error=False,
                result_action="return_none",
            )
            sys.stdout.flush()
    except CycloptsError as error:
        return _refuse(error, _USAGE)
    except NotConverged as error:
        return _refuse(error, _UNCONVERGED)
    except BayesRareError as error:
        return _refuse(error)
    except BrokenPipeError:
        # The reader of the pipe has gone, so nothing more can be flushed to it.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return _REFUSED
    except OSError as error:
        return _refuse(error)
    except KeyboardInterrupt:
        return INTERRUPTED
    except Ended as end:
        return int(str(end))
    return _DONE


def _refuse(error: Exception, code: int = _REFUSED) -> int:
    """Print why a command was refused, in one paragraph."""
    said = " ".join(f"bayes-rare: {error}".split())
    # A word of a command line may hold bytes that are not text.
    said = said.encode("utf-8", "replace").decode()
    print(within(said, LONGEST), file=sys.stderr)
    return code
