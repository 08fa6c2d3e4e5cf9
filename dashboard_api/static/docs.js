// Swagger UI on this API's own document, with the page's token filled in if this tab has one.
const ui = SwaggerUIBundle({
  url: "/openapi.json",
  dom_id: "#docs",
  validatorUrl: null,
  onComplete: () => {
    const token = sessionStorage.getItem("salespulse.token");
    if (token) ui.preauthorizeApiKey("HTTPBearer", token);
  },
});
