package cli

import (
	"fmt"
	"runtime"

	"github.com/spf13/cobra"
)

func (a *App) versionCommand() *cobra.Command {
	asJSON := false
	cmd := &cobra.Command{
		Use:   "version [flags]",
		Short: "Print the version of this program",
		Args:  noArgs,
		RunE: func(*cobra.Command, []string) error {
			if asJSON {
				return a.printJSON(map[string]string{"version": Version(), "go": runtime.Version(), "platform": platform()})
			}
			_, err := fmt.Fprintf(a.Stdout, "oddish %s (%s, %s)\n", Version(), runtime.Version(), platform())
			return err
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print version, go and platform as JSON")
	return cmd
}

func platform() string { return runtime.GOOS + "/" + runtime.GOARCH }

// noArgs refuses arguments in the words of a usage error.
func noArgs(cmd *cobra.Command, args []string) error {
	if len(args) > 0 {
		return usagef("%s takes no argument, but was given %q", cmd.CommandPath(), args[0])
	}
	return nil
}

// atMostOne refuses a second argument.
func atMostOne(cmd *cobra.Command, args []string) error {
	if len(args) > 1 {
		return usagef("%s takes one argument, but was given %d", cmd.CommandPath(), len(args))
	}
	return nil
}
