package upstream

import (
	"net/url"
	"strings"

	"oddish/internal/llm"
	"oddish/internal/llm/gateway"
)

// place is where a provider's API is, for providers of which each customer has one of his own.
type place struct {
	base    string
	version string // of the API, for Azure's former form
}

// azurePlace finds an Azure resource: its address or name, and the version of the API if the deployments are to be called by their own addresses, as they had
// to be before there was a version that is everybody's (learn.microsoft.com, Azure OpenAI API version lifecycle).
func azurePlace(getenv func(string) (string, bool)) place {
	base := first(getenv, []string{"AZURE_API_BASE", "AZURE_OPENAI_ENDPOINT", "AZURE_BASE_URL"})
	if name := first(getenv, []string{"AZURE_RESOURCE_NAME"}); base == "" && name != "" {
		base = "https://" + name + ".openai.azure.com"
	}
	return place{base: strings.TrimRight(base, "/"), version: first(getenv, []string{"AZURE_API_VERSION"})}
}

// databricksPlace finds a workspace.
func databricksPlace(getenv func(string) (string, bool)) place {
	const end = "/serving-endpoints"
	base := strings.TrimRight(first(getenv, []string{"DATABRICKS_HOST", "DATABRICKS_API_BASE", "DATABRICKS_BASE_URL"}), "/")
	if base != "" && !strings.Contains(base, "://") {
		base = "https://" + base
	}
	if base != "" && !strings.HasSuffix(base, end) {
		base += end
	}
	return place{base: base}
}

// placeVars are all variables that places are found by.
func placeVars() []string {
	return []string{"AZURE_API_BASE", "AZURE_OPENAI_ENDPOINT", "AZURE_BASE_URL", "AZURE_RESOURCE_NAME", "AZURE_API_VERSION",
		"DATABRICKS_HOST", "DATABRICKS_API_BASE", "DATABRICKS_BASE_URL"}
}

// placeVars are those to name to somebody who has set none.
func (p *provider) placeVars() []string {
	if p.name == "azure" {
		return []string{"AZURE_API_BASE", "AZURE_RESOURCE_NAME"}
	}
	return []string{"DATABRICKS_HOST"}
}

// upstreamAt gives the provider's API in a dialect at its place.
func (p *provider) upstreamAt(d llm.Dialect, at place, key string) gateway.Upstream {
	u := gateway.Upstream{Provider: p.name, BaseURL: at.base, Key: key, Unversioned: p.bare}
	switch p.name {
	case "databricks":
		u.Unversioned = true
	case "azure":
		u.KeyHeader = "Api-Key"
		p.azure(d, at, &u)
	}
	return u
}

func (p *provider) azure(d llm.Dialect, at place, u *gateway.Upstream) {
	switch {
	case at.version == "":
		u.BaseURL = strings.TrimSuffix(at.base, "/openai/v1") + "/openai/v1"
		return
	case d == llm.Chat:
		u.BaseURL += "/openai/deployments/" + gateway.ModelInPath
	default:
		u.BaseURL += "/openai"
	}
	u.Unversioned, u.Query = true, url.Values{"api-version": {at.version}}
}
