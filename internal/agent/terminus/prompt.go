package terminus

import (
	"fmt"
	"strings"
)

const rulesForKeys = `About what you type:
- It reaches the terminal exactly as you write it. Without a newline at its end a command stays on its line and does not run.
- Special keys go by tmux's names, each alone in its command: C-c interrupts, C-d ends input.
- A duration says for how many seconds to wait before the screen is shown to you. Use 0.1 for commands that are done at once, such as cd, ls
  or cat, 1.0 for something like a compiler, and more for what is slow, but never more than 60. If something is not done yet, wait again with empty
  keystrokes: looking several times is better than waiting too long once.
- No commands at all are allowed as well, if you only want to think or to look.
`

func (jsonParser) prompt() string {
	return `You solve tasks at the command line of a Linux machine. You see a terminal, and you work by typing batches of keystrokes into it.

Answer with one JSON object of this form:

{
  "analysis": "what you see in the terminal, what is done so far and what is left",
  "plan": "what you do next, and what each of the commands is for",
  "commands": [
    {"keystrokes": "ls -la\n", "duration": 0.1},
    {"keystrokes": "cd project\n", "duration": 0.1}
  ],
  "task_complete": false
}

analysis, plan and commands are required, in this order. In commands each entry has "keystrokes", a string that is required, and "duration", a number of seconds,
1.0 if it is missing. "task_complete" is true once the task is solved, and false if it is missing. Text around the object is ignored, with a warning. Inside
strings escape quotes and backslashes as JSON wants it.

` + rulesForKeys
}

func (xmlParser) prompt() string {
	return `You solve tasks at the command line of a Linux machine. You see a terminal, and you work by typing batches of keystrokes into it.

Answer in this form:

<response>
<analysis>
what you see in the terminal, what is done so far and what is left
</analysis>
<plan>
what you do next, and what each of the commands is for
</plan>
<commands>
<keystrokes duration="0.1">ls -la
</keystrokes>
<keystrokes duration="0.1">cd project
</keystrokes>
</commands>
<task_complete>false</task_complete>
</response>

analysis, plan and commands are required. Each command is one <keystrokes> element; its attribute duration is a number of seconds, 1.0 if it is
missing. <task_complete> is true once the task is solved, and may be left out until then. What stands between <keystrokes> and </keystrokes> is taken raw: write <, > and & as they are and do not
escape them. C-c and C-d stand alone in their elements, without a newline.

` + rulesForKeys
}

// firstPrompt is the first message.
func firstPrompt(p parser, instruction, screen string) string {
	return p.prompt() + "\nTask Description:\n" + instruction + "\n\nCurrent terminal state:\n" + screen
}

func mendPrompt(p parser, problem error, warnings []string) string {
	text := "Your previous response had parsing errors:\nERROR: " + problem.Error()
	if len(warnings) > 0 {
		text += "\nWARNINGS:\n- " + strings.Join(warnings, "\n- ")
	}
	return text + "\n\nNothing was typed. Please answer again with a proper " + p.form() + " response."
}

const surePrompt = `Are you sure that the task is complete? Saying so triggers the grading, and you cannot correct anything afterwards. If you are, answer with task_complete true once more;
if not, go on.`

func cutPrompt(p parser) string {
	return "Your previous response was cut off at the limit of the model's output, so that nothing of it was executed. Please answer again with a shorter " + p.form() +
		" response: split the work into several smaller batches, and write long files in parts."
}

const continuationNote = `NOTE: the shell shows a continuation prompt (>): it waits for the rest of a command that is not finished, such as a here-document or an open quote. Finish it, or
give it up with C-c.`

const restartNote = `NOTE: the shell of the terminal had ended, and a new one was started. What ran in the old one in the foreground is gone; files are as they were.`

const resumeNote = `NOTE: the connection to the terminal was interrupted. Some of the last commands may not have been typed: look at the screen before you go on.`

// Compaction: three calls that hand the work on, since one model alone forgets what another would ask about.

func summaryPrompt(instruction string) string {
	return `The conversation is about to be cut, and another engineer will take over with nothing but your summary. Write everything that is needed to go on with this task:

` + instruction + `

Cover: what was done, step by step, with the commands and files that matter; what was learned about the system and the task; which problems came up, and how they were solved or not; what the
state is now; and what is left to do. Be complete and concrete: paths, names, values. Do not answer in the form of commands now.`
}

func questionsPrompt(instruction, summary, screen string) string {
	return `You take over a task at the command line from another engineer.

Task:
` + instruction + `

Their summary:
` + summary + `

The terminal now:
` + screen + `

Ask them at least five questions about what you need to know and the summary does not say. Write only the questions, numbered.`
}

func answersPrompt(questions string) string {
	return "The engineer who takes over has these questions:\n\n" + questions + "\n\nAnswer each of them, concretely and in full."
}

func goOnPrompt(answers string) string {
	return "Here are the answers to your questions:\n\n" + answers + "\n\nContinue working on the task from here. Answer in the form that was described at the beginning."
}

func shortPrompt(screen string) string {
	return "The conversation had become too long for the model and was cut. This is the end of the terminal:\n\n" + screen + "\n\nContinue working on the task. Answer in the form that was described at the beginning."
}

// Toolbox describes the task's tool servers and skills, as a part of the instruction; empty: there are none.
func Toolbox(servers []string, skills string) string {
	var b strings.Builder
	if len(servers) > 0 {
		b.WriteString("\n\nTool servers (MCP) that can be used from the terminal:\n- " + strings.Join(servers, "\n- "))
	}
	if skills != "" {
		fmt.Fprintf(&b, "\n\nSkills are in %s: read the SKILL.md of those that fit before you begin.", skills)
	}
	return b.String()
}
