package main

import (
	"context"
	"fmt"
	"regexp"
	"strings"
)

var namespaceFlag = regexp.MustCompile(`--namespace (\S+)`)

// installed runs a line of helm install, lets the API server look at what it is going to get, and
// waits until all is as docs/DEPLOY.md says.
func (s *story) installed(ctx context.Context, line, tag string) error {
	namespace := namespaceFlag.FindStringSubmatch(line)
	if namespace == nil {
		return fmt.Errorf("%q has no --namespace, which the lines of kubectl have", line)
	}
	s.r = release{name: strings.Fields(line)[2], namespace: namespace[1], tag: tag}
	rendered := strings.Replace(line, "helm install", "helm template", 1)
	if _, err := s.run(ctx, rendered+" | kubectl --warnings-as-errors create --dry-run=server --validate=strict --namespace "+s.r.namespace+" -f -"); err != nil {
		return err
	}
	for _, given := range []string{"serviceaccount/default", "configmap/kube-root-ca.crt"} { // by the controllers
		if _, err := s.run(ctx, "kubectl wait --for=create --timeout=60s --namespace "+s.r.namespace+" "+given); err != nil {
			return err
		}
	}
	var err error
	if s.before, err = s.held(ctx); err != nil {
		return err
	}
	notes, err := s.run(ctx, line)
	if err != nil {
		return err
	}
	s.figures.installs++
	manifest, err := s.run(ctx, fmt.Sprintf("helm get manifest %s --namespace %[2]s | kubectl get --namespace %[2]s --output name -f -", s.r.name, s.r.namespace))
	if err != nil {
		return err
	}
	s.figures.objects += len(strings.Fields(manifest))
	if err := s.await(ctx); err != nil {
		return err
	}
	return s.heed(ctx, notes)
}

// changed runs a line that leads to other pods.
func (s *story) changed(ctx context.Context, line, tag string) error {
	s.r.tag = tag
	if _, err := s.run(ctx, line); err != nil {
		return err
	}
	return s.await(ctx)
}

// await waits until all is as docs/DEPLOY.md says.
func (s *story) await(ctx context.Context) error {
	return await(ctx, "release "+s.r.name+" in "+s.r.namespace, func(ctx context.Context) error {
		all, err := s.get(ctx, s.r.namespace, kinds)
		if err != nil {
			return err
		}
		return s.r.missing(all)
	})
}

// heed does what helm says after an installation. Where it wants something from inside a
// container, of which none runs, it has to be of a Deployment that is there.
func (s *story) heed(ctx context.Context, notes string) error {
	lines := regexp.MustCompile(`(?m)^ +(kubectl .*)$`).FindAllStringSubmatch(notes, -1)
	if len(lines) == 0 {
		return fmt.Errorf("the notes name no line of kubectl:\n%s", notes)
	}
	for _, line := range lines {
		command := regexp.MustCompile(` exec (\S+) -- .*`).ReplaceAllString(line[1], " get $1")
		if _, err := s.run(ctx, command); err != nil {
			return fmt.Errorf("the notes: %w", err)
		}
	}
	return s.runAll(ctx,
		fmt.Sprintf("kubectl --namespace %s create job first-pruning --from=cronjob/%s", s.r.namespace, s.r.part("prune")),
		fmt.Sprintf("kubectl --namespace %s wait --for=condition=Complete --timeout=60s job --all", s.r.namespace),
	)
}

// uninstalled runs a line of helm uninstall, and waits until all is gone that came with the release.
func (s *story) uninstalled(ctx context.Context, line string) error {
	if err := s.count(ctx); err != nil {
		return err
	}
	if _, err := s.run(ctx, line); err != nil {
		return err
	}
	return await(ctx, line, func(ctx context.Context) error {
		after, err := s.held(ctx)
		if err != nil {
			return err
		}
		if fmt.Sprint(after) != fmt.Sprint(s.before) {
			return fmt.Errorf("it leaves %v, and before the installation there were %v", after, s.before)
		}
		return nil
	})
}

// held names all that a namespace has, but for what was told of it.
func (s *story) held(ctx context.Context) ([]string, error) {
	types, err := s.run(ctx, "kubectl api-resources --verbs=list --namespaced --output name | grep -Ev '^(events|endpoints$)' | sort | paste -sd,")
	if err != nil {
		return nil, err
	}
	names, err := s.run(ctx, "kubectl get --ignore-not-found --output name --namespace "+s.r.namespace+" "+types)
	return strings.Fields(names), err
}

// count takes from what the controllers told which pods the API server has let in.
func (s *story) count(ctx context.Context) error {
	events, err := s.get(ctx, s.r.namespace, "events")
	if err != nil {
		return err
	}
	for _, e := range events {
		switch {
		case e.Reason == "SuccessfulCreate" && strings.HasPrefix(e.Message, "Created pod: "):
			s.figures.admitted++
		case e.Reason == "FailedCreate":
			s.figures.refused++
			fmt.Printf("in %s: %s\n", s.r.namespace, e.Message)
		}
	}
	return nil
}

func (s *story) runAll(ctx context.Context, lines ...string) error {
	for _, line := range lines {
		if _, err := s.run(ctx, line); err != nil {
			return err
		}
	}
	return nil
}
