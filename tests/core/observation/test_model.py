"""O2-O4, O7, O10: any history of a stream and its clients, against a list of all that happened.

`make fuzz` runs the same for minutes.
"""

from hypothesis import settings
from tests.core.observation.model import ObservationMachine

TestObservation = ObservationMachine.TestCase
TestObservation.settings = settings(max_examples=60, stateful_step_count=40)
