package main

import "github.com/urfave/cli/v3"

// describeCompletion lets help list the library's command.
func describeCompletion(cmd *cli.Command) {
	cmd.Hidden = false
	cmd.Usage = "print a script that lets a shell complete commands and flags"
	cmd.Description = `For bash, in ~/.bashrc, and for zsh, in ~/.zshrc behind compinit; for fish, once.

Examples:  source <(genrec completion bash)
           source <(genrec completion zsh)
           genrec completion fish > ~/.config/fish/completions/genrec.fish`
}
