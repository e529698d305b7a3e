package result

import (
	"fmt"
	"strings"

	"oddish/api"
)

// Names of errors, as they appear in result files, filters and retry settings. Those of
// the first two groups are Harbor's.
const (
	EnvironmentStartTimeoutError      = "EnvironmentStartTimeoutError"
	SandboxBuildFailedError           = "SandboxBuildFailedError"
	HealthcheckError                  = "HealthcheckError"
	AgentSetupTimeoutError            = "AgentSetupTimeoutError"
	AgentTimeoutError                 = "AgentTimeoutError"
	AddTestsDirError                  = "AddTestsDirError"
	VerifierTimeoutError              = "VerifierTimeoutError"
	DownloadVerifierDirError          = "DownloadVerifierDirError"
	RewardFileNotFoundError           = "RewardFileNotFoundError"
	RewardFileEmptyError              = "RewardFileEmptyError"
	VerifierOutputParseError          = "VerifierOutputParseError"
	ServiceOperationsUnsupportedError = "ServiceOperationsUnsupportedError"
	CancelledError                    = "CancelledError"
	FileNotFoundError                 = "FileNotFoundError"
	ValueError                        = "ValueError"   // a setting that cannot be used, a missing variable
	RuntimeError                      = "RuntimeError" // any other trouble with a sandbox
	OSError                           = "OSError"      // the worker's own disk
	MissingExtraError                 = "MissingExtraError"

	NonZeroAgentExitCodeError        = "NonZeroAgentExitCodeError"
	APIRateLimitError                = "ApiRateLimitError"
	APIUsageLimitError               = "ApiUsageLimitError"
	APIInternalServerError           = "ApiInternalServerError"
	APIOverloadedError               = "ApiOverloadedError"
	APIConnectionClosedError         = "ApiConnectionClosedError"
	APIResponseStalledError          = "ApiResponseStalledError"
	APIProviderResourceNotFoundError = "ApiProviderResourceNotFoundError"
	UnknownAPIError                  = "UnknownApiError"
	OutputTokenExceededError         = "OutputTokenExceededError"
	ContextWindowExceededError       = "ContextWindowExceededError"
	AgentSafetyRefusalError          = "AgentSafetyRefusalError"
	AgentAuthenticationError         = "AgentAuthenticationError"
	ModelNotFoundError               = "ModelNotFoundError"
	NetworkConnectionError           = "NetworkConnectionError"
	ContextLengthExceededError       = "ContextLengthExceededError"
	OutputLengthExceededError        = "OutputLengthExceededError"

	StepSetupError        = "StepSetupError"        // the setup.sh of a step failed
	UnsupportedTaskError  = "UnsupportedTaskError"  // the task or run asks for what this sandbox or version lacks
	OutOfMemoryError      = "OutOfMemoryError"      // killed at its memory limit
	SandboxLostError      = "SandboxLostError"      // the sandbox died in use
	WorkerLost            = "WorkerLost"            // the worker went away or gave the trial back
	BudgetExceeded        = "BudgetExceeded"        // the money, tokens or calls of the trial or of what it belongs to are used up
	RegradeError          = "RegradeError"          // a trial that has ended cannot be verified again
	ReplayDivergenceError = "ReplayDivergenceError" // the agent asked what was not recorded
	MissingAPIKeyError    = "MissingApiKeyError"    // nobody has set the key of the model's provider
	AgentInstallError     = "AgentInstallError"     // the agent's program could not be brought into the sandbox
	InternalError         = "InternalError"         // a fault of ours
)

// ClassOf gives what an error name means for another attempt. Unknown names are taken
// for trouble around the trial, so that they are tried again.
func ClassOf(errorType string) api.ErrorClass {
	switch errorType {
	case AgentTimeoutError, VerifierTimeoutError,
		RewardFileNotFoundError, RewardFileEmptyError, VerifierOutputParseError,
		NonZeroAgentExitCodeError, OutputTokenExceededError, ContextWindowExceededError,
		ContextLengthExceededError, OutputLengthExceededError, AgentSafetyRefusalError,
		OutOfMemoryError, CancelledError, ReplayDivergenceError:
		return api.ClassResult
	case SandboxBuildFailedError, UnsupportedTaskError, ServiceOperationsUnsupportedError, MissingExtraError,
		FileNotFoundError, ValueError, RegradeError,
		AgentAuthenticationError, ModelNotFoundError, APIUsageLimitError, APIProviderResourceNotFoundError, BudgetExceeded, MissingAPIKeyError:
		return api.ClassPermanent
	case APIRateLimitError, APIOverloadedError:
		return api.ClassRateLimit
	}
	// A healthcheck that never passes is among these: no agent has run, so another attempt costs
	// little, and a service that starts too slowly on a busy machine is its usual cause.
	return api.ClassInfrastructure
}

// AgentFailed reports whether the error is the agent's own end: the trial goes on to
// verification, and may have both this error and a reward.
func AgentFailed(errorType string) bool {
	switch errorType {
	case AgentTimeoutError, OutOfMemoryError, NonZeroAgentExitCodeError,
		APIRateLimitError, APIUsageLimitError, APIInternalServerError, APIOverloadedError,
		APIConnectionClosedError, APIResponseStalledError, APIProviderResourceNotFoundError, UnknownAPIError,
		OutputTokenExceededError, ContextWindowExceededError, AgentSafetyRefusalError,
		AgentAuthenticationError, ModelNotFoundError, NetworkConnectionError:
		return true
	}
	return false
}

// Error is an error of a trial with its name and what it means for another attempt.
type Error struct {
	Type    string // one of the names above
	Message string
	Class   api.ErrorClass
	Err     error // cause; may be nil
}

// Errorf gives an Error of the named type with the class that belongs to it. A %w operand becomes its cause.
func Errorf(errorType, format string, args ...any) *Error {
	err := fmt.Errorf(format, args...)
	return &Error{Type: errorType, Message: err.Error(), Class: ClassOf(errorType), Err: unwrapped(err)}
}

func unwrapped(err error) error {
	switch e := err.(type) {
	case interface{ Unwrap() error }:
		return e.Unwrap()
	case interface{ Unwrap() []error }:
		return err
	}
	return nil
}

// Error gives "Type: message".
func (e *Error) Error() string { return e.Type + ": " + e.Message }

// Unwrap gives the cause.
func (e *Error) Unwrap() error { return e.Err }

// ClipMessage bounds a message to about Harbor's 1000 characters: the first quarter and the last three.
func ClipMessage(text string) string {
	const most = 1000
	text = strings.ToValidUTF8(text, "?")
	runes := []rune(text)
	if len(runes) <= most {
		return text
	}
	return string(runes[:most/4]) + " ... " + string(runes[len(runes)-most*3/4:])
}
