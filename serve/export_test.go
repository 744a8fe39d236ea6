package serve

// MaxBodies is how many requests of a route with bodies are answered at once.
const MaxBodies = maxBodies

// Routes returns all of them as METHOD PATH.
func Routes() (all []string) {
	var s Server
	for _, r := range append(s.routes(), s.openRoutes()...) {
		all = append(all, r.method+" "+r.path)
	}
	return all
}
