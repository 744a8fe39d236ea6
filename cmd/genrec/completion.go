package main

import "github.com/urfave/cli/v3"

// describeCompletion lets help list the library's command.
func describeCompletion(cmd *cli.Command) {
	cmd.Hidden = false
	cmd.Usage = "print a script that lets a shell complete commands and flags"
	cmd.Description = `Each shell finds the script where the example puts it, the next time it starts; bash
needs its package bash-completion for that, and zsh a folder of its own in front of
fpath.

Examples:  genrec completion bash > ~/.local/share/bash-completion/completions/genrec
           genrec completion zsh  > ~/.zsh/completions/_genrec
           genrec completion fish > ~/.config/fish/completions/genrec.fish`
}
