// Signs and verifies with the vendors' own libraries: questions on standard input, answers on standard output.
import { readFileSync } from "node:fs";
import Stripe from "stripe";
import { Webhook, WebhookVerificationError } from "standardwebhooks";
import * as octokit from "@octokit/webhooks-methods";

const stripe = new Stripe("sk_test_nobody").webhooks;

const libraries = {
  standardwebhooks: {
    sign: (q) => ({
      "webhook-id": q.id,
      "webhook-timestamp": String(q.timestamp),
      "webhook-signature": new Webhook(q.secret).sign(q.id, new Date(q.timestamp * 1000), q.body),
    }),
    verify: (q) => Boolean(new Webhook(q.secret).verify(q.body, q.headers)),
  },
  stripe: {
    sign: ({ body: payload, secret, timestamp }) => ({
      "stripe-signature": stripe.generateTestHeaderString({ payload, secret, timestamp }),
    }),
    verify: (q) => Boolean(stripe.constructEvent(q.body, q.headers["stripe-signature"], q.secret)),
  },
  octokit: {
    sign: async (q) => ({
      "x-github-delivery": q.id,
      "x-hub-signature-256": await octokit.sign(q.secret, q.body),
    }),
    verify: (q) => octokit.verify(q.secret, q.body, q.headers["x-hub-signature-256"]),
  },
};

const isRefusal = (error) =>
  error instanceof WebhookVerificationError || error.type === "StripeSignatureVerificationError";

async function answer(q) {
  const library = libraries[q.library];
  if (q.action === "sign") return { headers: await library.sign(q) };
  try {
    return { accepted: await library.verify(q) };
  } catch (error) {
    if (isRefusal(error)) return { accepted: false };
    throw error;
  }
}

const answers = [];
for (const q of JSON.parse(readFileSync(0, "utf8"))) answers.push(await answer(q));
process.stdout.write(JSON.stringify(answers));
