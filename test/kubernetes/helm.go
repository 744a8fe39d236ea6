package main

import (
	"context"
	"fmt"
	"regexp"
	"strings"
)

var namespaceFlag = regexp.MustCompile(`--namespace (\S+)`)

// helmInstall validates the rendered chart with a dry run on the server, runs a line of helm install, and
// waits until the release is as docs/DEPLOY.md says.
func (s *scenario) helmInstall(ctx context.Context, line, tag string) error {
	namespace := namespaceFlag.FindStringSubmatch(line)
	if namespace == nil {
		return fmt.Errorf("%q has no --namespace", line)
	}
	s.r = release{name: strings.Fields(line)[2], namespace: namespace[1], tag: tag}
	rendered := strings.Replace(line, "helm install", "helm template", 1)
	if _, err := s.run(ctx, rendered+" | kubectl --warnings-as-errors create --dry-run=server --validate=strict --namespace "+s.r.namespace+" -f -"); err != nil {
		return err
	}
	for _, given := range []string{"serviceaccount/default", "configmap/kube-root-ca.crt"} { // created by controllers
		if _, err := s.run(ctx, "kubectl wait --for=create --timeout=60s --namespace "+s.r.namespace+" "+given); err != nil {
			return err
		}
	}
	var err error
	if s.before, err = s.resources(ctx); err != nil {
		return err
	}
	notes, err := s.run(ctx, line)
	if err != nil {
		return err
	}
	s.counts.installs++
	manifest, err := s.run(ctx, fmt.Sprintf("helm get manifest %s --namespace %[2]s | kubectl get --namespace %[2]s --output name -f -", s.r.name, s.r.namespace))
	if err != nil {
		return err
	}
	s.counts.objects += len(strings.Fields(manifest))
	if err := s.await(ctx); err != nil {
		return err
	}
	return s.followNotes(ctx, notes)
}

// helmUpgrade runs a line that replaces the pods.
func (s *scenario) helmUpgrade(ctx context.Context, line, tag string) error {
	s.r.tag = tag
	if _, err := s.run(ctx, line); err != nil {
		return err
	}
	return s.await(ctx)
}

// await waits until the release is as docs/DEPLOY.md says.
func (s *scenario) await(ctx context.Context) error {
	return await(ctx, "release "+s.r.name+" in "+s.r.namespace, func(ctx context.Context) error {
		all, err := s.get(ctx, s.r.namespace, kinds)
		if err != nil {
			return err
		}
		return s.r.check(all)
	})
}

// followNotes runs the commands of the chart's notes. No container runs, so that for kubectl exec it only
// checks that the Deployment exists.
func (s *scenario) followNotes(ctx context.Context, notes string) error {
	lines := regexp.MustCompile(`(?m)^ +(kubectl .*)$`).FindAllStringSubmatch(notes, -1)
	if len(lines) == 0 {
		return fmt.Errorf("the notes contain no kubectl command:\n%s", notes)
	}
	for _, line := range lines {
		command := regexp.MustCompile(` exec (\S+) -- .*`).ReplaceAllString(line[1], " get $1")
		if _, err := s.run(ctx, command); err != nil {
			return fmt.Errorf("the notes: %w", err)
		}
	}
	return s.runAll(ctx,
		fmt.Sprintf("kubectl --namespace %s create job first-pruning --from=cronjob/%s", s.r.namespace, s.r.resource("prune")),
		fmt.Sprintf("kubectl --namespace %s wait --for=condition=Complete --timeout=60s job --all", s.r.namespace),
	)
}

// helmUninstall runs a line of helm uninstall and waits until the resources of the release are deleted.
func (s *scenario) helmUninstall(ctx context.Context, line string) error {
	if err := s.countPods(ctx); err != nil {
		return err
	}
	if _, err := s.run(ctx, line); err != nil {
		return err
	}
	return await(ctx, line, func(ctx context.Context) error {
		after, err := s.resources(ctx)
		if err != nil {
			return err
		}
		if fmt.Sprint(after) != fmt.Sprint(s.before) {
			return fmt.Errorf("the namespace has %v, before the installation it had %v", after, s.before)
		}
		return nil
	})
}

// resources returns the names of all resources in the namespace except events and endpoints.
func (s *scenario) resources(ctx context.Context) ([]string, error) {
	types, err := s.run(ctx, "kubectl api-resources --verbs=list --namespaced --output name | grep -Ev '^(events|endpoints$)' | sort | paste -sd,")
	if err != nil {
		return nil, err
	}
	names, err := s.run(ctx, "kubectl get --ignore-not-found --output name --namespace "+s.r.namespace+" "+types)
	return strings.Fields(names), err
}

// countPods counts, by the events of the controllers, the pods that were admitted and refused.
func (s *scenario) countPods(ctx context.Context) error {
	events, err := s.get(ctx, s.r.namespace, "events")
	if err != nil {
		return err
	}
	for _, e := range events {
		switch {
		case e.Reason == "SuccessfulCreate" && strings.HasPrefix(e.Message, "Created pod: "):
			s.counts.admitted++
		case e.Reason == "FailedCreate":
			s.counts.refused++
			fmt.Printf("in %s: %s\n", s.r.namespace, e.Message)
		}
	}
	return nil
}

func (s *scenario) runAll(ctx context.Context, lines ...string) error {
	for _, line := range lines {
		if _, err := s.run(ctx, line); err != nil {
			return err
		}
	}
	return nil
}
