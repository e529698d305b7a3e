# Run in the working directory, as the agent's user, before the step.
set -e
chmod 444 orders.txt
