package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/prometheus/promql/parser"
	"go.yaml.in/yaml/v3"

	"genrec/inference"
	"genrec/inference/versions"
	"genrec/ingest"
	"genrec/pkg/stream"
	"genrec/pkg/telemetry"
	"genrec/retrain"
	"genrec/serve"
)

// Dashboard panels query only metrics and labels that a service exports.
func TestDashboardsUseExistingMetrics(t *testing.T) {
	files, err := filepath.Glob("../../deploy/grafana/dashboards/*.json")
	if err != nil || len(files) == 0 {
		t.Fatalf("no dashboards in deploy/grafana/dashboards (%v)", err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var dashboard struct {
			Panels []struct {
				Title, Type string
				Targets     []struct{ Expr, LegendFormat string }
			}
		}
		if err := json.Unmarshal(text, &dashboard); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		for _, panel := range dashboard.Panels {
			if panel.Type != "row" && len(panel.Targets) == 0 {
				t.Errorf("%s: panel %q asks for nothing", file, panel.Title)
			}
			for _, target := range panel.Targets {
				checkQuery(t, file+": panel "+panel.Title, strings.ReplaceAll(target.Expr, "$__rate_interval", "5m"))
			}
		}
	}
}

// So do alerts.
func TestAlertsUseExistingMetrics(t *testing.T) {
	text, err := os.ReadFile("../../deploy/prometheus/rules.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var rules struct {
		Groups []struct {
			Rules []struct{ Alert, Expr string }
		}
	}
	if err := yaml.Unmarshal(text, &rules); err != nil {
		t.Fatal(err)
	}
	if len(rules.Groups) == 0 || len(rules.Groups[0].Rules) == 0 {
		t.Fatal("deploy/prometheus/rules.yaml has no rules")
	}
	for _, group := range rules.Groups {
		for _, rule := range group.Rules {
			checkQuery(t, "alert "+rule.Alert, rule.Expr)
		}
	}
}

// docs/TELEMETRY.md lists exactly the metrics of genrec.
func TestTelemetryPageListsMetrics(t *testing.T) {
	text, err := os.ReadFile("../../docs/TELEMETRY.md")
	if err != nil {
		t.Fatal(err)
	}
	listed := make(map[string]bool)
	for _, name := range regexp.MustCompile(`genrec_[a-z_]+`).FindAllString(string(text), -1) {
		listed[name] = true
	}
	there := make(map[string]bool)
	for name := range exported() {
		if base, histogram := strings.CutSuffix(name, "_bucket"); histogram {
			there[base] = true
		} else if strings.HasPrefix(name, "genrec_") && !strings.HasSuffix(name, "_sum") && !strings.HasSuffix(name, "_count") {
			there[name] = true
		}
	}
	for name := range there {
		if strings.HasPrefix(name, "genrec_") && !listed[name] {
			t.Errorf("docs/TELEMETRY.md does not list the metric %s", name)
		}
	}
	for name := range listed {
		if !there[name] {
			t.Errorf("docs/TELEMETRY.md lists %s, which no service has", name)
		}
	}
}

// scraped are the labels that Prometheus adds.
var scraped = []string{"job", "instance"}

func checkQuery(t *testing.T, where, query string) {
	t.Helper()
	known := exported()
	tree, err := parser.NewParser(parser.Options{}).ParseExpr(query)
	if err != nil {
		t.Errorf("%s: %q: %v", where, query, err)
		return
	}
	labels := slices.Clone(scraped)
	parser.Inspect(tree, func(node parser.Node, _ []parser.Node) error {
		selector, is := node.(*parser.VectorSelector)
		if !is {
			return nil
		}
		own, exists := known[selector.Name]
		if !exists {
			t.Errorf("%s asks for the metric %s, which genrec does not have", where, selector.Name)
		}
		labels = append(labels, own...)
		for _, m := range selector.LabelMatchers {
			if m.Name != "__name__" && !slices.Contains(own, m.Name) && !slices.Contains(scraped, m.Name) {
				t.Errorf("%s asks for the label %s, which %s does not have", where, m.Name, selector.Name)
			}
		}
		return nil
	})
	parser.Inspect(tree, func(node parser.Node, _ []parser.Node) error {
		if sum, is := node.(*parser.AggregateExpr); is && !sum.Without {
			for _, label := range sum.Grouping {
				if !slices.Contains(labels, label) {
					t.Errorf("%s groups by %s, which no metric in it has", where, label)
				}
			}
		}
		return nil
	})
}

var (
	description = regexp.MustCompile(`fqName: "([^"]*)".*constLabels: \{(.*)\}, variableLabels: \{(.*)\}\}$`)
	constantKey = regexp.MustCompile(`(\w+)="`)
)

// exported returns the labels of each series that the services export, by name.
var exported = sync.OnceValue(func() map[string][]string {
	o := &observation{metrics: telemetry.NewRegistry()}
	s := &servers{kafka: stream.Cluster{Brokers: []string{"127.0.0.1:1"}}}
	o.observeIngester(s, ingest.New(ingest.Config{}, nil))
	o.observeWorker(s, inference.New(inference.Config{}, nil, nil))
	o.metrics.MustRegister((&versions.Versions{}).Metrics()...)
	server, err := serve.New(serve.Config{Address: "127.0.0.1:0"}, nil, nil)
	if err != nil {
		panic(err)
	}
	o.observeServer(server, nil)
	o.metrics.MustRegister(retrain.NewProgressMetrics(nil).Metrics()...)

	series := described(o.metrics)
	families, _ := o.metrics.Gather() // without the lag, for want of a Kafka
	for _, family := range families {
		if name := family.GetName(); family.GetType() == dto.MetricType_HISTOGRAM {
			series[name+"_sum"], series[name+"_count"] = series[name], series[name]
			series[name+"_bucket"] = append(slices.Clone(series[name]), "le")
			delete(series, name)
		}
	}
	return series
})

func described(registry *prometheus.Registry) map[string][]string {
	descriptions := make(chan *prometheus.Desc)
	go func() {
		registry.Describe(descriptions)
		close(descriptions)
	}()
	labels := make(map[string][]string)
	for d := range descriptions {
		match := description.FindStringSubmatch(d.String())
		if match == nil {
			continue // one of Go's that tells less of itself
		}
		var own []string
		for _, constant := range constantKey.FindAllStringSubmatch(match[2], -1) {
			own = append(own, constant[1])
		}
		if match[3] != "" {
			own = append(own, strings.Split(match[3], ",")...)
		}
		labels[match[1]] = own
	}
	return labels
}
